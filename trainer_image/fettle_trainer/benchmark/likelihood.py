"""Log-probabilities of given answers. Rows are padded on the right and masked, so a row's numbers are its own."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.benchmark.scores import LogLikelihood
from fettle_trainer.encoding import IGNORED, EncodedRow
from fettle_trainer.failures import TrainerFailure


def log_likelihoods(
    model: Any, rows: Sequence[EncodedRow], batch_size: int, advance: Callable[[int], None]
) -> list[LogLikelihood]:
    """One for each row, in order. `advance` is told after each batch how many rows it had.

    Rows of like length share a batch, the longest first: what does not fit into memory fails at once.
    """
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]["input_ids"]), reverse=True)
    found: dict[int, LogLikelihood] = {}
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        found.update(zip(batch, _score(model, [rows[index] for index in batch]), strict=True))
        advance(len(batch))
    return [found[index] for index in range(len(rows))]


def non_finite(what: str) -> TrainerFailure:
    """The failure of a model whose numbers have left the range of floating point."""
    return TrainerFailure(
        ExitCode.NON_FINITE,
        f"{what} are not finite",
        "The weights of the base model or the adapter are broken, or too large for fp16; use bf16 or fp32.",
    )


@torch.inference_mode()
def _score(model: Any, rows: Sequence[EncodedRow]) -> list[LogLikelihood]:
    places = [[place for place, label in enumerate(row["labels"]) if label != IGNORED and place] for row in rows]
    width = max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    mask = torch.zeros_like(ids)
    for number, row in enumerate(rows):
        ids[number, : len(row["input_ids"])] = torch.tensor(row["input_ids"])
        mask[number, : len(row["input_ids"])] = 1
    first = min(map(min, places)) - 1  # a token is predicted by the one before it
    kept = torch.arange(first, max(map(max, places)), device=model.device)
    logits = model(
        input_ids=ids.to(model.device), attention_mask=mask.to(model.device), use_cache=False, logits_to_keep=kept
    ).logits
    if logits.shape[1] != len(kept):  # a model that cannot leave positions out
        logits = logits[:, kept]
    return [
        _of_row(logits[number], row["labels"], place, first)
        for number, (row, place) in enumerate(zip(rows, places, strict=True))
    ]


def _of_row(logits: torch.Tensor, labels: Sequence[int], places: Sequence[int], first: int) -> LogLikelihood:
    targets = torch.tensor([labels[place] for place in places], device=logits.device)
    predicting = logits[[place - 1 - first for place in places]].float()
    chosen = torch.log_softmax(predicting, dim=-1).gather(1, targets[:, None])
    total = float(chosen.double().sum())
    if not math.isfinite(total):
        raise non_finite("the log-probabilities")
    return LogLikelihood(total, len(places))
