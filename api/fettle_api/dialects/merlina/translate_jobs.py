"""What Merlina answers about jobs, the queue and counts. Pure.

Its words for the state of a job, and where they come from:

| Merlina        | TrainingJob                                                       |
|----------------|-------------------------------------------------------------------|
| queued         | Pending, Queued, Suspended                                        |
| initializing   | Starting, or Running before the first report                      |
| loading_model, loading_dataset, training, saving, uploading | Running, by stage    |
| training       | also while it evaluates                                           |
| completed      | Succeeded                                                         |
| failed         | Failed                                                            |
| stopped        | Cancelled after it had started                                    |
| cancelled      | Cancelled before, or asked to be                                  |
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from fettle_api.dialects.merlina.translate import id_of_name
from fettle_api.dialects.translation import finite
from fettle_api.jobs.queue import JobQueue
from fettle_api.jobs.storage import JobUsage
from fettle_api.resources.models import JobView
from fettle_schema.layout import ADAPTERS, MODELS
from fettle_schema.names import attempt_name
from fettle_schema.run import ProgressEvent
from fettle_schema.vocabulary import Phase, Stage

FINAL = ("completed", "failed", "stopped", "cancelled")
_STATUS = {
    Phase.PENDING: "queued",
    Phase.QUEUED: "queued",
    Phase.SUSPENDED: "queued",
    Phase.STARTING: "initializing",
    Phase.RUNNING: "initializing",
    Phase.SUCCEEDED: "completed",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "stopped",
}
_STAGES = {
    Stage.LOADING_MODEL: "loading_model",
    Stage.LOADING_DATASET: "loading_dataset",
    Stage.TRAINING: "training",
    Stage.EVALUATING: "training",
    Stage.SAVING: "saving",
    Stage.UPLOADING: "uploading",
}
_PRIORITIES = {"low": 1, "normal": 3, "high": 5}
_WAITING = (Phase.PENDING, Phase.QUEUED)
_MIB = 1024 * 1024


def status_of_job(job: JobView) -> str:
    """One of Merlina's eleven words."""
    has_started = job.start_time is not None or job.phase in (Phase.STARTING, Phase.RUNNING)
    if not has_started and (job.is_stopping or job.phase is Phase.CANCELLED):
        return "cancelled"
    progress = job.status.progress if job.phase is Phase.RUNNING else None
    if progress is None:
        return _STATUS[job.phase]
    if progress.stage is None:
        return "training" if progress.step else "initializing"
    return _STAGES[progress.stage]


def progress_of_job(job: JobView) -> float:
    """Between 0 and 1."""
    if job.phase is Phase.SUCCEEDED:
        return 1.0
    percent = job.status.progress.percent if job.status.progress else None
    return round((percent or 0.0) / 100, 4)


def error_of_job(job: JobView) -> str | None:
    """Why it failed."""
    if job.phase is not Phase.FAILED:
        return None
    return (job.status.failure.message if job.status.failure else job.status.message) or "Training failed"


def output_dir_of_job(job: JobView) -> str:
    """Where the result is, or will be a version."""
    if job.status.output is not None:
        return job.status.output.path
    name = job.spec.output.adapter_name or job.name
    return f"{MODELS if job.spec.adapter.type == 'none' else ADAPTERS}/{name}"


def status_answer(job: JobView, queue: JobQueue) -> dict[str, Any]:
    """`GET /status/{job_id}`."""
    progress, position = job.status.progress, position_of(job.name, queue)
    return {
        "job_id": id_of_name(job.name),
        "status": status_of_job(job),
        "progress": progress_of_job(job),
        "current_step": progress.step if progress else None,
        "total_steps": progress.total_steps if progress else None,
        "loss": finite(progress.loss if progress else None),
        "error": error_of_job(job),
        "wandb_url": None,
        "queue_position": position,
        "queue_state": _queue_state(job, position),
    }


def _queue_state(job: JobView, position: int | None) -> str:
    if position is not None:
        return "queued"
    return "running" if job.phase in (Phase.STARTING, Phase.RUNNING) else "unknown"


def summary_of(jobs: Iterable[JobView]) -> dict[str, Any]:
    """`GET /jobs`: the newest first."""
    return {
        id_of_name(job.name): {"status": status_of_job(job), "progress": progress_of_job(job)}
        for job in reversed(list(jobs))
    }


def history_of(jobs: Iterable[JobView], status: str | None, limit: int, offset: int) -> dict[str, Any]:
    """`GET /jobs/history`: the newest first."""
    wanted = [job for job in reversed(list(jobs)) if not status or status_of_job(job) == status]
    page = [_history_entry(job) for job in wanted[offset : offset + limit]]
    return {"jobs": page, "count": len(page)}


def _history_entry(job: JobView) -> dict[str, Any]:
    return {
        "job_id": id_of_name(job.name),
        "status": status_of_job(job),
        "progress": progress_of_job(job),
        "created_at": clock_time(job.created_at),
        "updated_at": clock_time(updated_at(job)),
        "output_dir": output_dir_of_job(job),
        "error": error_of_job(job),
    }


def updated_at(job: JobView) -> datetime:
    """When something was last heard of it."""
    status = job.status
    times = [job.created_at, status.start_time, status.completion_time]
    times += [condition.last_transition_time for condition in status.conditions]
    times += [status.progress.last_report_time] if status.progress else []
    return max(time if time.tzinfo else time.replace(tzinfo=UTC) for time in times if time is not None)


def metrics_of(job: JobView, events: Iterable[ProgressEvent]) -> dict[str, Any]:
    """`GET /jobs/{job_id}/metrics`: one point for each logged step; of a step done again the last time counts."""
    points: dict[int, dict[str, Any]] = {}
    for event in events:
        if event.step is None or not is_logged(event):
            continue
        point = points.setdefault(
            event.step, {"step": event.step, "loss": None, "eval_loss": None, "learning_rate": None, "timestamp": ""}
        )
        point["timestamp"] = clock_time(event.time)
        known = {"loss": event.loss, "eval_loss": event.eval_loss, "learning_rate": event.learning_rate}
        point |= {name: value for name, value in known.items() if finite(value) is not None}
    found = [points[step] for step in sorted(points)]
    return {"job_id": id_of_name(job.name), "metrics": found, "count": len(found)}


def is_logged(event: ProgressEvent) -> bool:
    """Whether a report has what a step is logged for: the first step of a run is told without."""
    return event.kind in ("step", "evaluation") and (event.loss is not None or event.eval_loss is not None)


def waiting_of(queue: JobQueue) -> list[JobView]:
    """Jobs that wait, the next one first; also one that is about to start."""
    return [job for job in (*queue.running, *queue.waiting) if job.phase in _WAITING]


def running_of(queue: JobQueue) -> list[JobView]:
    """Jobs that run."""
    return [job for job in queue.running if job.phase not in _WAITING]


def position_of(name: str, queue: JobQueue) -> int | None:
    """1-based place among those that wait."""
    return next((place for place, job in enumerate(waiting_of(queue), 1) if job.name == name), None)


def queue_stats(queue: JobQueue, slots: int) -> dict[str, Any]:
    """Counts of the queue, in the document's spelling and in that of its own client."""
    queued, running = len(waiting_of(queue)), len(running_of(queue))
    return {
        "queued_count": queued,
        "running_count": running,
        "max_concurrent": slots,
        "available_slots": max(0, slots - running),
        "queued": queued,
        "running": running,
        "workers": slots,
    }


def queued_entries(queue: JobQueue) -> list[dict[str, Any]]:
    """Jobs that wait."""
    return [
        {
            "job_id": id_of_name(job.name),
            "priority": _PRIORITIES[job.priority],
            "position": place,
            "queued_at": clock_time(job.created_at),
        }
        for place, job in enumerate(waiting_of(queue), 1)
    ]


def running_entries(queue: JobQueue) -> list[dict[str, Any]]:
    """Jobs that run."""
    return [
        {
            "job_id": id_of_name(job.name),
            "priority": _PRIORITIES[job.priority],
            "worker": attempt_name(job.name, job.status.attempts.current if job.status.attempts else 1),
        }
        for job in running_of(queue)
    ]


def stats_of(jobs: list[JobView], usage: JobUsage, connections: int, queue: Mapping[str, Any]) -> dict[str, Any]:
    """`GET /stats`."""
    return {
        "database": {
            "total_jobs": len(jobs),
            "total_metrics": usage.report_count,
            "db_size_mb": round(usage.size_bytes / _MIB, 2),
            "by_status": dict(Counter(map(status_of_job, jobs))),
        },
        "websockets": {"total_connections": connections},
        "queue": dict(queue),
    }


def clock_time(time: datetime) -> str:
    """ISO without a zone, as there; UTC."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="seconds")
