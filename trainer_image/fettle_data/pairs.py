"""Pairs of preferences → labelled examples, which is what kto learns from."""

from collections.abc import Sequence

from fettle_data.formats.format import Example
from fettle_data.formats.preference import labelled
from fettle_data.spool import LazyExamples


class LabelledPairs(LazyExamples):
    """All chosen answers, labelled good, then all rejected ones, labelled bad.

    In that order two neighbours never answer the same prompt (unless there is one pair only), which kto's estimate of
    the KL term needs: it takes the answer of a neighbour.
    """

    def __init__(self, pairs: Sequence[Example]) -> None:
        self._pairs = pairs

    def get(self, index: int) -> Example:
        is_chosen = index < len(self._pairs)
        return labelled(self._pairs[index if is_chosen else index - len(self._pairs)], is_chosen=is_chosen)

    def __len__(self) -> int:
        return 2 * len(self._pairs)
