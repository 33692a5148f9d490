from datetime import UTC, datetime

import pytest

from fettle_api.errors import BodyError
from fettle_api.progress.kubeflow import event_of_kubeflow, is_kubeflow_report
from fettle_schema.vocabulary import Stage

TIME = "2026-01-01T12:00:00+00:00"


def test_a_step_as_transformers_reports_it() -> None:
    metrics = {
        "loss": "1.5",
        "learning_rate": "0.0001",
        "grad_norm": "2.0",
        "epoch": "0.5",
        "current_step": "5",
        "total_steps": "10",
        "current_epoch": "0.5",
    }
    body = {
        "trainerStatus": {
            "lastUpdatedTime": TIME,
            "progressPercentage": 50,
            "estimatedRemainingSeconds": 30,
            "metrics": [{"name": name, "value": value} for name, value in metrics.items()],
        }
    }
    assert is_kubeflow_report(body)
    event = event_of_kubeflow(body, 2)
    assert event.time == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert (event.attempt, event.kind, event.stage) == (2, "step", Stage.TRAINING)
    assert (event.step, event.total_steps, event.epoch) == (5, 10, 0.5)
    assert (event.loss, event.learning_rate, event.grad_norm, event.eta_seconds) == (1.5, 1e-4, 2.0, 30.0)


def test_the_end_counts_all_steps() -> None:
    metrics = [{"name": "total_steps", "value": "10"}]
    body = {"trainerStatus": {"lastUpdatedTime": TIME, "progressPercentage": 100, "metrics": metrics}}
    assert event_of_kubeflow(body, 1).step == 10


def test_the_end_names_no_number_of_steps_and_counts_those_that_are_known() -> None:
    metrics = [{"name": "train_loss", "value": "0.5"}]
    body = {"trainerStatus": {"lastUpdatedTime": TIME, "progressPercentage": 100, "metrics": metrics}}
    event = event_of_kubeflow(body, 1, known_steps=12)
    assert (event.step, event.loss, event.kind) == (12, 0.5, "end")
    assert event_of_kubeflow(body, 1).step is None


def test_what_is_no_number_is_left_out() -> None:
    metrics = [{"name": "loss", "value": "nan"}, {"name": "epoch", "value": "x"}, "junk", {"value": None}]
    event = event_of_kubeflow({"trainerStatus": {"lastUpdatedTime": TIME, "metrics": metrics}}, 1)
    assert event.loss is None
    assert event.epoch is None


def test_a_report_without_a_time_is_refused() -> None:
    with pytest.raises(BodyError, match="lastUpdatedTime"):
        event_of_kubeflow({"trainerStatus": {}}, 1)


def test_our_own_reports_are_not_mistaken_for_it() -> None:
    assert not is_kubeflow_report({"time": TIME, "attempt": 1})
