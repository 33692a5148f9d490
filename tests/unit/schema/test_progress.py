"""Reports become status.progress and status.checkpoints."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fettle_schema.progress import duration, merge_progress
from fettle_schema.run import ProgressEvent
from fettle_schema.status import Checkpoint, Progress

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def event(attempt: int = 1, **fields: Any) -> ProgressEvent:
    return ProgressEvent(time=NOW, attempt=attempt, **fields)


def checkpoint(step: int) -> Checkpoint:
    return Checkpoint(name=f"checkpoint-{step}", step=step, attempt=1, path=f"jobs/a/checkpoint-{step}")


def test_the_first_report_makes_a_summary() -> None:
    progress, _ = merge_progress(None, [], event(step=12, total_steps=150, loss=1.23456789, eta_seconds=200))
    assert (progress.summary, progress.percent, progress.loss, progress.eta) == ("12/150", 8.0, 1.2346, "3m20s")


def test_what_a_report_leaves_out_stays() -> None:
    before = Progress(step=3, total_steps=10, loss=2.0, attempt=1)
    progress, _ = merge_progress(before, [], event(kind="evaluation", eval_loss=1.5))
    assert (progress.step, progress.loss, progress.eval_loss) == (3, 2.0, 1.5)


def test_a_report_of_an_older_attempt_changes_nothing() -> None:
    before = Progress(step=9, attempt=2)
    assert merge_progress(before, [], event(attempt=1, step=3)) == (before, [])


def test_a_new_attempt_may_go_back() -> None:
    progress, _ = merge_progress(Progress(step=9, total_steps=10, attempt=1), [], event(attempt=2, step=5))
    assert (progress.step, progress.summary, progress.attempt) == (5, "5/10", 2)


def test_the_newest_ten_checkpoints_are_kept_in_order() -> None:
    checkpoints: list[Checkpoint] = []
    for step in [*range(1, 13), 12]:
        _, checkpoints = merge_progress(None, checkpoints, event(kind="checkpoint", checkpoint=checkpoint(step)))
    assert [item.step for item in checkpoints] == list(range(3, 13))


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (-1, "0s"), (119, "119s"), (200, "3m20s"), (18720, "5h12m"), (273600, "3d4h")]
)
def test_durations_are_written_as_kubectl_does(seconds: float, text: str) -> None:
    assert duration(seconds) == text
