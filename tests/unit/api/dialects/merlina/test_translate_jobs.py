from datetime import UTC, datetime
from typing import Any

import pytest

from fettle_api.dialects.merlina.translate_jobs import (
    FINAL,
    error_of_job,
    history_of,
    metrics_of,
    output_dir_of_job,
    position_of,
    progress_of_job,
    queue_stats,
    queued_entries,
    running_entries,
    stats_of,
    status_answer,
    status_of_job,
    summary_of,
    updated_at,
)
from fettle_api.dialects.merlina.wire_answers import StatusAnswer
from fettle_api.jobs.queue import job_queue
from fettle_api.jobs.storage import JobUsage
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job
from fettle_schema.run import ProgressEvent

START = "2026-01-01T12:00:00Z"


def job(name: str = "demo", spec: dict[str, Any] | None = None, **status: Any) -> JobView:
    metadata = {"name": name, "uid": "u", "creationTimestamp": START}
    given = {"baseModel": {"id": "a/b"}, **(spec or {})}
    return view_job({"metadata": metadata, "spec": given, "status": status})


@pytest.mark.parametrize(
    ("status", "spec", "word"),
    [
        ({}, {}, "queued"),
        ({"phase": "Pending"}, {}, "queued"),
        ({"phase": "Queued"}, {}, "queued"),
        ({"phase": "Suspended", "startTime": START}, {}, "queued"),
        ({"phase": "Starting"}, {}, "initializing"),
        ({"phase": "Running"}, {}, "initializing"),
        ({"phase": "Running", "progress": {"step": 3}}, {}, "training"),
        ({"phase": "Running", "progress": {"stage": "loading_model"}}, {}, "loading_model"),
        ({"phase": "Running", "progress": {"stage": "loading_dataset"}}, {}, "loading_dataset"),
        ({"phase": "Running", "progress": {"stage": "training"}}, {}, "training"),
        ({"phase": "Running", "progress": {"stage": "evaluating"}}, {}, "training"),
        ({"phase": "Running", "progress": {"stage": "saving"}}, {}, "saving"),
        ({"phase": "Running", "progress": {"stage": "uploading"}}, {}, "uploading"),
        ({"phase": "Succeeded", "progress": {"stage": "saving"}}, {}, "completed"),
        ({"phase": "Failed"}, {}, "failed"),
        ({"phase": "Cancelled", "startTime": START}, {}, "stopped"),
        ({"phase": "Cancelled"}, {}, "cancelled"),
        ({"phase": "Queued"}, {"cancel": True}, "cancelled"),
        ({"phase": "Running", "startTime": START, "progress": {"stage": "training"}}, {"cancel": True}, "training"),
    ],
)
def test_every_phase_has_a_word(status: dict[str, Any], spec: dict[str, Any], word: str) -> None:
    assert status_of_job(job(spec=spec, **status)) == word
    assert word in StatusAnswer.model_json_schema()["properties"]["status"]["enum"]


def test_the_final_words() -> None:
    assert set(FINAL) == {"completed", "failed", "stopped", "cancelled"}


@pytest.mark.parametrize(
    ("status", "progress"),
    [
        ({}, 0.0),
        ({"phase": "Running", "progress": {"percent": 45.0}}, 0.45),
        ({"phase": "Failed", "progress": {"percent": 12.34}}, 0.1234),
        ({"phase": "Succeeded", "progress": {"percent": 99.0}}, 1.0),
    ],
)
def test_progress_lies_between_0_and_1(status: dict[str, Any], progress: float) -> None:
    assert progress_of_job(job(**status)) == progress


def test_only_a_job_that_failed_has_an_error() -> None:
    failure = {"code": "OutOfMemory", "message": "CUDA out of memory"}
    assert error_of_job(job(phase="Failed", failure=failure)) == "CUDA out of memory"
    assert error_of_job(job(phase="Failed", message="the image cannot be pulled")) == "the image cannot be pulled"
    assert error_of_job(job(phase="Failed")) == "Training failed"
    assert error_of_job(job(phase="Cancelled", failure=failure)) is None


@pytest.mark.parametrize(
    ("spec", "status", "path"),
    [
        ({}, {}, "adapters/demo"),
        ({"output": {"adapterName": "mine"}}, {}, "adapters/mine"),
        ({"adapter": {"type": "none"}, "output": {"adapterName": "mine"}}, {}, "models/mine"),
        ({}, {"output": {"kind": "adapter", "path": "adapters/demo/0123", "digest": "sha256:0"}}, "adapters/demo/0123"),
    ],
)
def test_the_directory_is_always_a_text(spec: dict[str, Any], status: dict[str, Any], path: str) -> None:
    assert output_dir_of_job(job(spec=spec, **status)) == path


def test_a_job_of_kubectl_that_merges() -> None:
    merge = job("by-hand", {"method": "merge", "startFrom": {"trainingJob": "other"}}, phase="Running")
    assert status_answer(merge, job_queue([merge])) == {
        "job_id": "by-hand",
        "status": "initializing",
        "progress": 0.0,
        "current_step": None,
        "total_steps": None,
        "loss": None,
        "error": None,
        "wandb_url": None,
        "queue_position": None,
        "queue_state": "running",
    }


def test_a_loss_that_json_does_not_have_is_null() -> None:
    odd = job(phase="Running", progress={"loss": float("nan"), "step": 1})
    assert status_answer(odd, job_queue([odd]))["loss"] is None


def test_lists_begin_with_the_newest() -> None:
    jobs = [job("first"), job("job-20250116-143022"), job("last", phase="Failed")]
    assert list(summary_of(jobs)) == ["last", "job_20250116_143022", "first"]
    assert [entry["job_id"] for entry in history_of(jobs, None, 2, 1)["jobs"]] == ["job_20250116_143022", "first"]
    assert history_of(jobs, "failed", 50, 0)["count"] == 1
    assert history_of(jobs, None, 0, 0) == {"jobs": [], "count": 0}


def test_the_last_word_of_a_job() -> None:
    condition = {"type": "Running", "status": "True", "reason": "a", "lastTransitionTime": "2026-01-01T12:00:05Z"}
    progress = {"lastReportTime": "2026-01-01T12:00:09Z"}
    assert updated_at(job()) == datetime(2026, 1, 1, 12, tzinfo=UTC)
    assert updated_at(job(conditions=[condition])).second == 5
    assert updated_at(job(conditions=[condition], progress=progress)).second == 9


def test_a_point_has_the_last_numbers_of_its_step() -> None:
    def event(step: int | None, **fields: Any) -> ProgressEvent:
        return ProgressEvent(time=datetime(2026, 1, 1, 12, tzinfo=UTC), attempt=1, step=step, **fields)

    events = [
        event(2, loss=1.0, learning_rate=1e-5),
        event(1, loss=2.0),
        event(2, kind="evaluation", eval_loss=0.9),
        event(3, kind="checkpoint"),
        event(None, loss=9.0),
        event(4, loss=float("inf")),
        event(5, tokens=53),
    ]
    points = metrics_of(job(), events)["metrics"]
    assert [(point["step"], point["loss"], point["eval_loss"]) for point in points] == [
        (1, 2.0, None),
        (2, 1.0, 0.9),
        (4, None, None),
    ]


def test_the_queue_in_the_order_of_admission() -> None:
    high, low = {"scheduling": {"priority": "high"}}, {"scheduling": {"priority": "low"}}
    jobs = [
        job("runs", phase="Running", attempts={"current": 3}),
        job("later", low),
        job("normal"),
        job("first", high),
        job("stops", high | {"cancel": True}),
        job("rests", phase="Suspended"),
    ]
    queue = job_queue(jobs)
    assert [(entry["job_id"], entry["priority"], entry["position"]) for entry in queued_entries(queue)] == [
        ("first", 5, 1),
        ("normal", 3, 2),
        ("later", 1, 3),
    ]
    assert running_entries(queue) == [{"job_id": "runs", "priority": 3, "worker": "runs-a3"}]
    assert (position_of("later", queue), position_of("runs", queue)) == (3, None)
    assert queue_stats(queue, 2)["available_slots"] == 1


def test_a_job_that_is_about_to_start_still_waits() -> None:
    queue = job_queue([job("only")])
    assert position_of("only", queue) == 1
    assert queue_stats(queue, 1)["running_count"] == 0


def test_counts() -> None:
    jobs = [job("a", phase="Running"), job("b", phase="Failed"), job("c", phase="Failed")]
    counted = stats_of(jobs, JobUsage(3 * 1024 * 1024, 7), 2, {})
    assert counted["database"] == {
        "total_jobs": 3,
        "total_metrics": 7,
        "db_size_mb": 3.0,
        "by_status": {"initializing": 1, "failed": 2},
    }
    assert counted["websockets"] == {"total_connections": 2}
