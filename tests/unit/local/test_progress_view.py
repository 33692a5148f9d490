"""A job on a terminal and elsewhere."""

import io
from typing import Any

from rich.console import Console

from fettle_local.progress_view import ProgressView


def job(phase: str, **progress: Any) -> dict[str, Any]:
    status = {"phase": phase, "attempts": {"current": 1}, "progress": {"attempt": 1, **progress}}
    return {"metadata": {"name": "demo"}, "status": status}


def shown(is_terminal: bool, *jobs: dict[str, Any]) -> str:
    output = io.StringIO()
    with ProgressView(Console(file=output, force_terminal=is_terminal, width=120, highlight=False)) as view:
        for one in jobs:
            view.show(one)
    return output.getvalue()


def test_a_terminal_shows_stage_step_loss_and_time_left() -> None:
    progress = {"stage": "training", "step": 12, "totalSteps": 50, "summary": "12/50", "loss": 1.2345, "eta": "38s"}
    text = shown(True, job("Running", **progress))
    for part in ("training", "12/50", "loss 1.234", "ETA 38s"):
        assert part in text


def test_elsewhere_each_stage_and_each_tenth_is_a_line() -> None:
    steps = [
        {"stage": "training", "step": step, "totalSteps": 100, "summary": f"{step}/100", "loss": 1.0}
        for step in range(1, 31)
    ]
    text = shown(False, job("Pending"), job("Running", stage="loading_model"), *(job("Running", **s) for s in steps))
    assert text.splitlines() == [
        "demo: Pending",
        "demo: loading model",
        "demo: training  1/100  loss 1.0",
        "demo: training  10/100  loss 1.0",
        "demo: training  20/100  loss 1.0",
        "demo: training  30/100  loss 1.0",
    ]


def test_progress_of_an_earlier_attempt_is_not_the_stage() -> None:
    late = job("Starting", stage="training", step=5)
    late["status"]["attempts"]["current"] = 2
    assert "Starting" in shown(False, late)


def test_a_job_that_waits_says_why_once() -> None:
    waiting = job("Queued")
    waiting["status"]["message"] = "1 job is ahead"
    assert shown(False, waiting, waiting).splitlines() == ["Queued: 1 job is ahead", "demo: Queued"]
