"""Smaller micro-batches that keep the global batch."""

from pathlib import Path

import pytest

from fettle_schema.hyperparameters import Hyperparameters
from fettle_trainer.micro_batch import FILE, MicroBatch, micro_batch, reduction, remember


@pytest.mark.parametrize(
    ("size", "accumulation", "smallest", "expected"),
    [
        (8, 1, 1, (4, 2)),
        (6, 2, 1, (3, 4)),
        (5, 1, 1, (1, 5)),
        (5, 2, 1, (2, 5)),
        (2, 3, 1, (1, 6)),
        (1, 8, 1, None),
        (8, 1, 2, (4, 2)),
        (4, 1, 2, (2, 2)),
        (3, 2, 2, (2, 3)),
        (3, 1, 2, None),
        (2, 4, 2, None),
    ],
)
def test_about_half_with_the_same_global_batch(
    size: int, accumulation: int, smallest: int, expected: tuple[int, int] | None
) -> None:
    smaller = MicroBatch(size, accumulation).smaller(smallest)

    assert smaller == (None if expected is None else MicroBatch(*expected))


def test_what_fitted_is_found_again_and_told(tmp_path: Path) -> None:
    settings = Hyperparameters(batch_size=8, gradient_accumulation_steps=1)
    remember(MicroBatch(2, 4), tmp_path)

    assert micro_batch(settings, tmp_path) == MicroBatch(2, 4)
    assert reduction(settings, MicroBatch(2, 4)) == (
        "batchSize 8 does not fit into memory: the run goes on with batchSize 2 and gradientAccumulationSteps 4, "
        "which is the same training"
    )


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"size": 2}', '{"size": 2, "accumulation": 2}', '{"size": 0, "accumulation": 8}']
)
def test_what_is_no_smaller_way_to_the_same_batch_is_not_used(tmp_path: Path, content: str) -> None:
    settings = Hyperparameters(batch_size=8, gradient_accumulation_steps=1)
    (tmp_path / FILE).write_text(content)

    assert micro_batch(settings, tmp_path) == MicroBatch(8, 1)
    assert reduction(settings, MicroBatch(8, 1)) is None
