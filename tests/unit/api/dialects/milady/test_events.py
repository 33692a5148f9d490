from datetime import UTC, datetime
from typing import Any

import pytest

from fettle_api.dialects.milady.translate_events import events_of
from fettle_api.progress.announcements import Announcement, Happening
from fettle_api.progress.events import JobChanged, JobGone, JobReported
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job
from fettle_schema.run import ProgressEvent

NOW = datetime(2026, 1, 1, 13, tzinfo=UTC)
NOW_MS = 1767272400000
OUTPUT = {"kind": "adapter", "path": "adapters/x/0", "digest": "sha256:0"}


def job(phase: str | None = None, method: str = "sft", cancel: bool = False, **status: Any) -> JobView:
    metadata = {
        "name": "demo",
        "uid": "u",
        "creationTimestamp": "2026-01-01T12:00:00Z",
        "annotations": {"fettle.dev/dialect": "benchmark"} if method == "benchmark" else {},
    }
    source = {"workspace": {"path": "datasets/d"}}
    spec = {"baseModel": {"id": "a/b"}, "dataset": {"source": source}, "method": method, "cancel": cancel}
    return view_job({"metadata": metadata, "spec": spec, "status": {"phase": phase, **status}})


def payloads(event: Any) -> list[dict[str, Any]]:
    messages = list(events_of(event, NOW))
    assert all(message["type"] == "training_event" for message in messages)
    return [message["payload"] for message in messages]


def kinds(event: Any) -> list[str]:
    return [payload["kind"] for payload in payloads(event)]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, job(), ["job_started"]),
        (None, job("Succeeded", output=OUTPUT), ["job_started", "job_completed"]),
        (job(), job("Running"), ["job_progress"]),
        (job("Running"), job("Running"), []),
        (
            job("Running", progress={"stage": "training"}),
            job("Running", progress={"stage": "training", "percent": 5}),
            [],
        ),
        (job("Running"), job("Running", progress={"stage": "training"}), ["job_progress"]),
        (job("Running"), job("Succeeded", output=OUTPUT), ["job_completed"]),
        (job("Running"), job("Failed"), ["job_failed"]),
        (job("Running"), job("Running", cancel=True), ["job_cancelled"]),
        (job("Running", cancel=True), job("Cancelled", cancel=True), []),
        (job("Running", "benchmark"), job("Succeeded", "benchmark"), []),
    ],
)
def test_changes(before: JobView | None, after: JobView, expected: list[str]) -> None:
    assert kinds(JobChanged(after, before)) == expected


def test_an_end_has_the_model_and_its_time() -> None:
    (told,) = payloads(
        JobChanged(job("Succeeded", output=OUTPUT, completionTime="2026-01-01T12:30:00Z"), job("Running"))
    )
    assert told == {
        "kind": "job_completed",
        "ts": 1767270600000,
        "message": "Training job demo completed",
        "jobId": "demo",
        "datasetId": "d",
        "progress": 1.0,
        "phase": "completed",
        "modelId": "model-demo",
    }


def test_a_failure_says_why() -> None:
    (told,) = payloads(JobChanged(job("Failed", failure={"code": "X", "message": "no memory"}), job("Running")))
    assert (told["message"], told["ts"]) == ("Training job demo failed: no memory", NOW_MS)


@pytest.mark.parametrize(
    ("report", "kind", "message"),
    [
        ({"step": 5, "totalSteps": 40, "loss": 1.25}, "job_progress", "step 5/40, loss 1.2500"),
        ({"kind": "evaluation", "step": 5, "evalLoss": 0.5}, "job_progress", "step 5, evaluation loss 0.5000"),
        ({"kind": "stage", "stage": "loading_model"}, "job_progress", "loading model"),
        ({"kind": "warning", "message": "no key"}, "job_log", "no key"),
        (
            {"kind": "checkpoint", "checkpoint": {"name": "checkpoint-5", "step": 5, "attempt": 1, "path": "x"}},
            "job_log",
            "Saved checkpoint-5",
        ),
        ({"kind": "end"}, "job_progress", "end"),
    ],
)
def test_reports(report: dict[str, Any], kind: str, message: str) -> None:
    event = ProgressEvent.model_validate({"time": NOW.isoformat(), "attempt": 1, **report})
    running = job("Running", progress={"stage": "training", "percent": 12.5})
    (told,) = payloads(JobReported(running, event))
    assert (told["kind"], told["message"], told["ts"], told["progress"]) == (kind, message, NOW_MS, 0.125)


def test_what_has_no_word_is_not_told() -> None:
    event = ProgressEvent(time=NOW, attempt=1, step=1)
    assert payloads(JobGone(job())) == payloads(JobReported(job("Running", "benchmark"), event)) == []


def test_announcements() -> None:
    (built,) = payloads(Announcement(Happening.DATASET_BUILT, NOW, "Dataset built", dataset_name="dataset-0"))
    assert built == {"kind": "dataset_built", "ts": NOW_MS, "message": "Dataset built", "datasetId": "dataset-0"}
    (active,) = payloads(Announcement(Happening.MODEL_ACTIVATED, NOW, "x", job_name="demo"))
    assert (active["jobId"], active["modelId"]) == ("demo", "model-demo")
