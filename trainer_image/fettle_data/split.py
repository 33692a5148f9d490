"""Which examples are used, in which order, and which of them are held out. The same on every machine.

Orders come from keys of the seed (`ordering`), never from `random`. Memory grows by some tens of bytes for each
example, whatever its length.
"""

import heapq
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

from fettle_data.formats.format import Example
from fettle_data.ordering import Keys, key_of
from fettle_data.spool import Selection, Spool, canonical_texts


def choose(
    examples: Iterable[Example], seed: int, shuffle: bool, limit: int | None, spool: Spool | None = None
) -> Sequence[Example]:
    """At most `limit` examples: the first ones, or with `shuffle` a random choice in random order.

    The order depends on the seed and the number of an example only. All of `examples` is read in either case; what is
    chosen is kept in the `spool`.
    """
    spool = Spool() if spool is None else spool
    if not shuffle:
        for number, example in enumerate(examples):
            if limit is None or number < limit:
                spool.append(example)
        return spool
    if limit is not None:
        return _choose_some(examples, seed, limit, spool)
    keys = Keys()
    for number, example in enumerate(examples):
        spool.append(example)
        keys.add(_shuffle_text(seed, number))
    return Selection(spool, keys.order())


def hold_out(examples: Sequence[Example], fraction: float, seed: int) -> tuple[Sequence[Example], Sequence[Example]]:
    """Split into training and evaluation examples; each keeps the order of `examples`.

    The nearest whole number of examples is held out, but one at least and never all. Which ones depends on the
    seed and on each example's own content, so rows that are added or moved change little, and equal examples stay
    on one side unless that is impossible. A single example is not split.
    """
    if fraction == 0 or len(examples) < 2:
        return examples, []
    count = min(max(round(fraction * len(examples)), 1), len(examples) - 1)
    keys = Keys()
    for text in canonical_texts(examples):
        keys.add(f"{seed}:evaluation:{text}")
    order = keys.order()
    is_held_out = bytearray(len(examples))
    for index in order[: _whole_groups(keys, order, count)]:
        is_held_out[index] = 1
    parts = [array("Q"), array("Q")]
    for index, part in enumerate(is_held_out):
        parts[part].append(index)
    return Selection(examples, parts[0]), Selection(examples, parts[1])


@dataclass(frozen=True)
class Measure:
    """What the canonical JSON of the examples tells."""

    digest: str
    """`sha256:<hex>` over the line `train`, a line of JSON for each example, the line `evaluation`, and the same."""
    duplicate_count: int
    """Examples that occurred before, in either part."""
    train_character_count: int
    longest_train_character_count: int


def measure(train: Iterable[Example], evaluation: Iterable[Example]) -> Measure:
    """Digest and counts, in one pass."""
    sha = sha256()
    keys = Keys()
    characters = longest = 0
    for name, examples in (("train", train), ("evaluation", evaluation)):
        sha.update(f"{name}\n".encode())
        for text in canonical_texts(examples):
            sha.update(f"{text}\n".encode())
            keys.add(text)
            if name == "train":
                characters += len(text)
                longest = max(longest, len(text))
    return Measure(f"sha256:{sha.hexdigest()}", keys.duplicate_count(), characters, longest)


def _choose_some(examples: Iterable[Example], seed: int, limit: int, spool: Spool) -> Sequence[Example]:
    """Keep the examples with the smallest keys; what falls out later stays in the file and is not referred to."""
    chosen: list[tuple[int, int]] = []  # a heap, the largest key first: (-key and number, index in the spool)
    for number, example in enumerate(examples):
        rank = -(int.from_bytes(key_of(_shuffle_text(seed, number))) << 64 | number)
        if len(chosen) < limit:
            heapq.heappush(chosen, (rank, spool.append(example)))
        elif rank > chosen[0][0]:
            heapq.heapreplace(chosen, (rank, spool.append(example)))
    return Selection(spool, array("Q", (index for _, index in sorted(chosen, reverse=True))))


def _shuffle_text(seed: int, number: int) -> str:
    return f"{seed}:shuffle:{number}"


def _whole_groups(keys: Keys, order: Sequence[int], count: int) -> int:
    """`count`, or less if equal keys would be parted and something is left."""
    start = count
    while start > 0 and keys[order[start - 1]] == keys[order[count]]:
        start -= 1
    return start or count
