"""What Merlina's WebSocket says. Pure but for the order of what it is given.

A `status_update` first, then for each logged step `metrics` and a `status_update`, and one for each change; at last
`completed` or `error`. Fields that are null are left out.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from typing import Any

from fettle_api.dialects.merlina.translate import id_of_name
from fettle_api.dialects.merlina.translate_jobs import (
    FINAL,
    error_of_job,
    is_logged,
    output_dir_of_job,
    progress_of_job,
    status_of_job,
)
from fettle_api.dialects.translation import finite
from fettle_api.progress.events import JobChanged, JobGone, JobReported, LiveEvent
from fettle_api.resources.models import JobView
from fettle_schema.run import ProgressEvent

HEARTBEAT = {"type": "heartbeat", "status": "ok"}
"""The answer to whatever a client says."""

_GIB = 1024**3

Message = dict[str, Any]
FinalMetrics = Callable[[JobView], Awaitable[Mapping[str, Any]]]


async def messages_of(
    events: AsyncIterator[LiveEvent], clock: Callable[[], datetime], final_metrics: FinalMetrics
) -> AsyncIterator[Message]:
    """Messages until the job has ended, or is gone."""
    said: Message = {}
    async for event in events:
        if isinstance(event, JobGone):
            yield error_message(event.job, "Job deleted", clock())
            return
        if isinstance(event, JobReported) and is_logged(event.event):
            metrics = metrics_message(event.job, event.event)
            if metrics is not None:
                yield metrics
        update = status_message(event.job, event.event.time if isinstance(event, JobReported) else clock())
        if _without_time(update) != _without_time(said):
            yield update
            said = update
        if isinstance(event, JobChanged) and update["status"] in FINAL:
            last = last_message(event.job, await final_metrics(event.job), clock())
            if last is not None:
                yield last
            return


def status_message(job: JobView, now: datetime) -> Message:
    """`status_update`."""
    progress = job.status.progress
    memory = progress.peak_memory_bytes if progress and job.spec.resources.gpus_per_node else None
    return _without_nulls(
        {
            "type": "status_update",
            "job_id": id_of_name(job.name),
            "status": status_of_job(job),
            "progress": progress_of_job(job),
            "current_step": progress.step if progress else None,
            "total_steps": progress.total_steps if progress else None,
            "loss": finite(progress.loss if progress else None),
            "eval_loss": finite(progress.eval_loss if progress else None),
            "learning_rate": finite(progress.learning_rate if progress else None),
            "gpu_memory": None if memory is None else round(memory / _GIB, 2),
            "timestamp": now.timestamp(),
        }
    )


def metrics_message(job: JobView, event: ProgressEvent) -> Message | None:
    """`metrics` of one report; an evaluation has the numbers of its step beside its own."""
    if event.step is None:
        return None
    progress = job.status.progress
    held = progress if event.kind == "evaluation" else None
    metrics = {
        "loss": finite(event.loss if held is None else held.loss),
        "eval_loss": finite(event.eval_loss),
        "learning_rate": finite(event.learning_rate if held is None else held.learning_rate),
        "grad_norm": finite(event.grad_norm if held is None else held.grad_norm),
    }
    return {
        "type": "metrics",
        "job_id": id_of_name(job.name),
        "step": event.step,
        "metrics": _without_nulls(metrics),
        "timestamp": event.time.timestamp(),
    }


def last_message(job: JobView, metrics: Mapping[str, Any], now: datetime) -> Message | None:
    """`completed` or `error`; None for a job that somebody stopped."""
    status = status_of_job(job)
    if status == "failed":
        return error_message(job, error_of_job(job) or "", now)
    if status != "completed":
        return None
    progress = job.status.progress
    final = {
        "final_loss": _number(metrics.get("loss"), progress.loss if progress else None),
        "final_eval_loss": _number(metrics.get("evalLoss"), progress.eval_loss if progress else None),
    }
    return {
        "type": "completed",
        "job_id": id_of_name(job.name),
        "output_dir": output_dir_of_job(job),
        "final_metrics": _without_nulls(final),
        "timestamp": now.timestamp(),
    }


def error_message(job: JobView, words: str, now: datetime) -> Message:
    """`error`."""
    return {"type": "error", "job_id": id_of_name(job.name), "error": words, "timestamp": now.timestamp()}


def _number(value: object, otherwise: float | None) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return finite(float(value) if is_number else otherwise)  # type: ignore[arg-type]  # mypy does not follow the name


def _without_nulls(message: Mapping[str, Any]) -> Message:
    return {name: value for name, value in message.items() if value is not None}


def _without_time(message: Message) -> Message:
    return {name: value for name, value in message.items() if name != "timestamp"}
