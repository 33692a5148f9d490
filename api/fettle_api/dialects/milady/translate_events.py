"""What happens, in the words of Milady's WebSocket. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from fettle_api.dialects.milady.translate import (
    dataset_id_of,
    has_model,
    is_shown,
    milliseconds,
    model_id_of,
    phase_of_job,
    progress_of_job,
    status_of_job,
)
from fettle_api.dialects.translation import finite
from fettle_api.progress.announcements import Announcement
from fettle_api.progress.events import JobChanged, JobGone, JobReported, LiveEvent
from fettle_api.resources.models import JobView
from fettle_schema.run import ProgressEvent

_ENDS = {"completed": "job_completed", "failed": "job_failed", "cancelled": "job_cancelled"}


def events_of(event: LiveEvent | Announcement, now: datetime) -> Iterator[dict[str, Any]]:
    """Messages for one thing that happened; none for what this API has no word for."""
    if isinstance(event, Announcement):
        yield _announced(event)
    elif isinstance(event, JobGone) or not is_shown(event.job):
        return
    elif isinstance(event, JobReported):
        yield _of_job(_kind_of_report(event.event), event.event.time, _words(event.event), event.job)
    else:
        yield from _changed(event, now)


def _changed(event: JobChanged, now: datetime) -> Iterator[dict[str, Any]]:
    """A beginning, an end, or another phase; steps are told by their reports."""
    job, before = event.job, event.before
    status = status_of_job(job)
    if before is None:
        yield _of_job("job_started", job.created_at, f"Training job {job.name} was submitted", job)
    if status in _ENDS and (before is None or status_of_job(before) != status):
        yield _of_job(_ENDS[status], job.status.completion_time or now, _ending(job, status), job)
    elif before is not None and (status_of_job(before), phase_of_job(before)) != (status, phase_of_job(job)):
        yield _of_job("job_progress", now, f"Training job {job.name} is {status}: {phase_of_job(job)}", job)


def _of_job(kind: str, time: datetime, message: str, job: JobView) -> dict[str, Any]:
    payload = {
        "kind": kind,
        "ts": milliseconds(time),
        "message": message,
        "jobId": job.name,
        "datasetId": dataset_id_of(job),
        "progress": progress_of_job(job),
        "phase": phase_of_job(job),
        "modelId": model_id_of(job) if has_model(job) else None,
    }
    return _message(payload)


def _announced(announcement: Announcement) -> dict[str, Any]:
    job = announcement.job_name
    payload = {
        "kind": str(announcement.happening),
        "ts": milliseconds(announcement.time),
        "message": announcement.message,
        "jobId": job,
        "modelId": f"model-{job}" if job else None,
        "datasetId": announcement.dataset_name,
    }
    return _message(payload)


def _message(payload: dict[str, Any]) -> dict[str, Any]:
    present = {name: value for name, value in payload.items() if value is not None}
    return {"type": "training_event", "payload": present}


def _kind_of_report(event: ProgressEvent) -> str:
    return "job_log" if event.kind in ("warning", "checkpoint") else "job_progress"


def _words(event: ProgressEvent) -> str:
    if event.message:
        return event.message
    if event.kind == "checkpoint" and event.checkpoint:
        return f"Saved {event.checkpoint.name}"
    told = [f"step {event.step}" + (f"/{event.total_steps}" if event.total_steps else "")] if event.step else []
    for name, value in (("loss", event.loss), ("evaluation loss", event.eval_loss)):
        if finite(value) is not None:
            told.append(f"{name} {value:.4f}")
    return ", ".join(told) or (event.stage.replace("_", " ") if event.stage else event.kind)


def _ending(job: JobView, status: str) -> str:
    failure = job.status.failure
    return f"Training job {job.name} {status}" + (f": {failure.message}" if failure and status == "failed" else "")
