"""A backend may be slow, dead or without credentials: no step waits for it, no run fails, and there is one warning."""

import json
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fettle_schema.run import ProgressEvent, RunConfig
from fettle_trainer.job_files import job_files
from fettle_trainer.progress import ProgressLog
from fettle_trainer.tracking import Trackers, open_trackers, outcome_of
from fettle_trainer.tracking.port import Outcome, Point, point, run_facts
from fettle_trainer.tracking.worker import QUEUE_LENGTH, TrackerWorker
from tests.support.runs import UID, run_config


class FakeTracker:
    """Keeps what it is given; waits and fails as it is told."""

    def __init__(self) -> None:
        self.points: list[Point] = []
        self.outcome: Outcome | None = None
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.error: Exception | None = None

    def log(self, points: Sequence[Point]) -> None:
        self.may_go_on.wait()
        if self.error is not None:
            raise self.error
        self.points.extend(points)

    def finish(self, outcome: Outcome) -> None:
        self.outcome = outcome


def step_event(step: int, **numbers: Any) -> ProgressEvent:
    return ProgressEvent(time=datetime.now(UTC), attempt=1, kind="step", step=step, **{"loss": 1.0, **numbers})


def test_points_arrive_in_order_and_the_end_is_told() -> None:
    tracker, warnings = FakeTracker(), list[str]()
    trackers = Trackers([TrackerWorker("fake", lambda: tracker, warnings.append)])

    for step in range(1, 251):
        trackers.observe(step_event(step))
    trackers.close(exit_code=0)

    assert [point.step for point in tracker.points] == list(range(1, 251))
    assert (tracker.outcome, warnings, trackers.is_stuck) == (Outcome.FINISHED, [], False)


def test_backend_is_opened_by_its_first_point_only() -> None:
    opened: list[str] = []

    def open_tracker() -> FakeTracker:
        opened.append("yes")
        return FakeTracker()

    trackers = Trackers([TrackerWorker("fake", open_tracker, opened.append)])
    trackers.observe(ProgressEvent(time=datetime.now(UTC), attempt=1, kind="stage"))
    trackers.close(exit_code=65)
    assert opened == []


def test_attempt_without_a_step_of_its_own_ends_the_run_of_the_one_before() -> None:
    tracker, warnings = FakeTracker(), list[str]()
    Trackers([TrackerWorker("fake", lambda: tracker, warnings.append)]).close(exit_code=0)

    assert (tracker.points, tracker.outcome, warnings) == ([], Outcome.FINISHED, [])


def test_backend_that_hangs_holds_nobody_up() -> None:
    tracker, other, warnings = FakeTracker(), FakeTracker(), list[str]()
    tracker.may_go_on.clear()
    worker = TrackerWorker("fake", lambda: tracker, warnings.append)
    trackers = Trackers([worker, TrackerWorker("other", lambda: other, warnings.append)])

    for step in range(500):
        trackers.observe(step_event(step))
    trackers.close(exit_code=0, wait_seconds=1)

    assert trackers.is_stuck
    assert len(warnings) == 1
    assert "fake tracking did not take everything in time" in warnings[0]
    assert len(other.points) == 500
    tracker.may_go_on.set()
    assert worker.join(deadline=time.monotonic() + 60)


def test_backend_that_is_too_slow_loses_its_oldest_points() -> None:
    tracker, warnings = FakeTracker(), list[str]()
    tracker.may_go_on.clear()
    worker = TrackerWorker("fake", lambda: tracker, warnings.append)
    trackers = Trackers([worker])
    for step in range(QUEUE_LENGTH + 500):
        trackers.observe(step_event(step))
    assert len(worker._queue) <= QUEUE_LENGTH
    tracker.may_go_on.set()
    trackers.close(exit_code=0)

    assert tracker.points[-1].step == QUEUE_LENGTH + 499
    missing = QUEUE_LENGTH + 500 - len(tracker.points)
    assert warnings == [f"fake tracking was too slow; {missing} steps are missing"]


def test_backend_that_fails_is_one_warning() -> None:
    tracker, warnings = FakeTracker(), list[str]()
    tracker.error = ConnectionError("no route to host")
    trackers = Trackers([TrackerWorker("fake", lambda: tracker, warnings.append)])
    for step in range(300):
        trackers.observe(step_event(step))
    trackers.close(exit_code=0)

    assert warnings == ["fake tracking is off: ConnectionError: no route to host; the run continues"]
    assert not trackers.is_stuck


def test_backend_that_cannot_be_opened_is_one_warning() -> None:
    warnings: list[str] = []

    def refuse() -> FakeTracker:
        raise ModuleNotFoundError("No module named 'x'")

    trackers = Trackers([TrackerWorker("fake", refuse, warnings.append)])
    trackers.observe(step_event(1))
    trackers.close(exit_code=0)
    assert warnings == ["fake tracking is off: ModuleNotFoundError: No module named 'x'; the run continues"]


@pytest.mark.parametrize(
    ("code", "expected"),
    [(0, "finished"), (85, "stopped"), (75, "stopped"), (64, "failed"), (71, "failed"), (1, "failed")],
)
def test_exit_code_decides_what_the_backend_is_told(code: int, expected: str) -> None:
    assert outcome_of(code) == expected


def test_event_becomes_metrics_under_their_usual_names() -> None:
    numbers = {"learning_rate": 0.1, "grad_norm": 2.0, "tokens_per_second": 9.0, "peak_memory_bytes": 5, "epoch": 0.5}
    measured = point(step_event(3, **numbers))

    assert measured is not None
    assert measured.step == 3
    assert measured.metrics == {
        "train/loss": 1.0,
        "train/learning_rate": 0.1,
        "train/grad_norm": 2.0,
        "train/tokens_per_second": 9.0,
        "train/epoch": 0.5,
        "system/peak_memory_bytes": 5.0,
    }
    evaluation = ProgressEvent(time=datetime.now(UTC), attempt=1, kind="evaluation", step=4, eval_loss=0.5)
    assert point(evaluation) is not None
    assert dict(point(evaluation).metrics) == {"eval/loss": 0.5}  # type: ignore[union-attr]


@pytest.mark.parametrize("event", [{"kind": "stage", "step": 1}, {"kind": "step", "step": 1}, {"kind": "warning"}])
def test_event_without_metrics_is_left_out(event: dict[str, Any]) -> None:
    assert point(ProgressEvent(time=datetime.now(UTC), attempt=1, **event)) is None


def test_facts_hold_identity_and_hyperparameters_but_no_examples() -> None:
    secret_text = "a customer's words"
    dataset = {"source": {"inline": {"examples": [json.dumps({"text": secret_text})]}}}
    facts = run_facts(RunConfig.model_validate(run_config(dataset=dataset)), None)

    assert (facts.run_id, facts.name) == (UID, "demo")
    assert facts.parameters["hyperparameters.learningRate"] == 0.01
    assert facts.parameters["adapter.targetModules"] == "all-linear"
    assert facts.parameters["dataset"] == "inline"
    assert secret_text not in str(facts)
    assert None not in facts.parameters.values()


TRACKING = {"wandb": {"project": "p"}, "mlflow": {"experiment": "e"}}


@pytest.mark.parametrize(
    ("tracking", "environment", "expected"),
    [
        ({}, {}, []),
        (TRACKING, {}, ["MLflow tracking is off: MLFLOW_TRACKING_URI", "Weights & Biases tracking is off: WANDB_API"]),
        ({"wandb": {"project": "p"}}, {"WANDB_MODE": "offline"}, []),
        ({"wandb": {"project": "p"}}, {"WANDB_MODE": "Disabled"}, []),
        ({"wandb": {"project": "p"}}, {"WANDB_API_KEY": "k"}, []),
        ({"wandb": {"project": "p"}}, {"WANDB_MODE": "online"}, ["Weights & Biases tracking is off"]),
        ({"mlflow": {"experiment": "e"}}, {"MLFLOW_TRACKING_URI": "file:/x"}, []),
    ],
)
def test_backend_without_credentials_is_off_with_a_warning(
    tmp_path: Path, tracking: dict[str, Any], environment: dict[str, str], expected: list[str]
) -> None:
    warnings: list[str] = []
    config = RunConfig.model_validate(run_config(tracking=tracking))
    trackers = open_trackers(config, job_files(tmp_path, config.directory, 1), warnings.append, environment)
    trackers.close(exit_code=64)

    assert len(warnings) == len(expected)
    assert all(warning.startswith(text) for warning, text in zip(warnings, expected, strict=True))


def test_warning_holds_no_secret(tmp_path: Path) -> None:
    environment = {"MLFLOW_TRACKING_URI": "ftp://me:hunter2@host/x", "MLFLOW_TRACKING_TOKEN": "canary-token"}
    warnings: list[str] = []
    config = RunConfig.model_validate(run_config(tracking={"mlflow": {"experiment": "e"}}))
    trackers = open_trackers(config, job_files(tmp_path, config.directory, 1), warnings.append, environment)
    worker = trackers._workers[0]
    worker._open = lambda: (_ for _ in ()).throw(OSError("canary-token at ftp://me:hunter2@host/x"))
    trackers.observe(step_event(1))
    trackers.close(exit_code=0)

    assert warnings == ["MLflow tracking is off: OSError: *** at ftp://***@host/x; the run continues"]


def test_progress_log_gives_each_event_to_its_listeners(tmp_path: Path) -> None:
    progress, seen = ProgressLog(tmp_path / "metrics.jsonl", 1), list[ProgressEvent]()
    progress.subscribe(seen.append)
    progress.write(kind="step", step=1, loss=2.0)
    progress.warn("careful")

    assert [(event.kind, event.loss, event.message) for event in seen] == [
        ("step", 2.0, None),
        ("warning", None, "careful"),
    ]
