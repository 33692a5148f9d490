"""Several short examples in one sequence, and batches of them. No token ever sees another example's tokens.

`position_ids` begin at 0 with each example; transformers makes the attention mask from them where none is given. A
label is never predicted from the example before: the first label of each is ignored.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from fettle_trainer.encoding import IGNORED, EncodedRow


def pack(rows: Iterable[EncodedRow], max_length: int, window: int = 1024) -> Iterator[EncodedRow]:
    """Sequences of at most `max_length` tokens: `input_ids`, `labels`, `position_ids`.

    First fit, longest first, within each `window` of rows, so that memory is bounded. The same rows give the same
    sequences.
    """
    waiting: list[EncodedRow] = []
    for row in rows:
        waiting.append(row)
        if len(waiting) == window:
            yield from _pack_window(waiting, max_length)
            waiting = []
    yield from _pack_window(waiting, max_length)


def _pack_window(rows: list[EncodedRow], max_length: int) -> Iterator[EncodedRow]:
    bins: list[tuple[int, list[EncodedRow]]] = []
    for row in sorted(rows, key=lambda row: -len(row["input_ids"])):
        length = len(row["input_ids"])
        place = next((index for index, (used, _) in enumerate(bins) if used + length <= max_length), None)
        if place is None:
            bins.append((length, [row]))
        else:
            used, members = bins[place]
            bins[place] = (used + length, [*members, row])
    for _, members in bins:
        yield {
            "input_ids": [token for row in members for token in row["input_ids"]],
            "labels": [label for row in members for label in [IGNORED, *row["labels"][1:]]],
            "position_ids": [position for row in members for position in range(len(row["input_ids"]))],
        }


class AnswerCollator:
    """Pads rows to the longest of a batch. Packed rows carry positions instead of an attention mask."""

    def __init__(self, pad_token_id: int) -> None:
        self._pad_token_id = pad_token_id

    def __call__(self, rows: list[EncodedRow]) -> dict[str, Any]:
        """Tensors [rows, longest]: `input_ids`, `labels`, and `attention_mask` or `position_ids`."""
        import torch

        longest = max(len(row["input_ids"]) for row in rows)

        def padded(name: str, value: int) -> Any:
            return torch.tensor([row[name] + [value] * (longest - len(row[name])) for row in rows])

        batch = {"input_ids": padded("input_ids", self._pad_token_id), "labels": padded("labels", IGNORED)}
        if "position_ids" in rows[0]:
            return {**batch, "position_ids": padded("position_ids", 0)}
        sizes = [len(row["input_ids"]) for row in rows]
        batch["attention_mask"] = torch.tensor([[1] * size + [0] * (longest - size) for size in sizes])
        return batch
