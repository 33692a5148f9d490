"""What happened to a job → OpenAI's events and checkpoints, the newest first. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from fettle_api.dialects.openai.translate_jobs import model_of_job, seconds, tuned_model_of_job
from fettle_api.dialects.translation import finite
from fettle_api.resources.models import CheckpointView, JobLog, JobView
from fettle_schema.run import ProgressEvent
from fettle_schema.status import Condition
from fettle_schema.vocabulary import ConditionType, Phase

_EVENT_PREFIX = "ftevent-"
_METRICS_MARK = "-step-"


def events_of(log: JobLog) -> list[dict[str, Any]]:
    """All events of which the reports in `log` are at hand."""
    job = log.job
    first_number = log.event_count - len(log.events)
    found = [*_of_conditions(job), *_of_checkpoints(job)]
    found += [_of_report(job, number, event) for number, event in enumerate(log.events, first_number)]
    order = sorted(range(len(found)), key=lambda index: (found[index][0], index), reverse=True)
    return [found[index][1] for index in order]


def is_of_report(event_id: str | None) -> bool:
    """Whether an event's id is that of a logged step."""
    return event_id is not None and _METRICS_MARK in event_id


def _of_conditions(job: JobView) -> Iterator[tuple[datetime, dict[str, Any]]]:
    yield _event(job, "created", job.created_at, f"Created fine-tuning job: {job.name}")
    for condition in job.status.conditions:
        told = _TOLD.get((condition.type, condition.status))
        if told is not None:
            what, words = told
            yield _event(job, what, condition.last_transition_time, words)
        elif condition.type == ConditionType.FAILED and condition.status == "True":
            yield _at_the_end(_of_failure(job, condition))
        elif condition.type == ConditionType.COMPLETE and condition.status == "True":
            yield from map(_at_the_end, _of_success(job, condition))


def _at_the_end(event: tuple[datetime, dict[str, Any]]) -> tuple[datetime, dict[str, Any]]:
    """After all steps of the same second: conditions have whole seconds only."""
    return event[0] + timedelta(microseconds=999_999), event[1]


_TOLD: Mapping[tuple[str, str], tuple[str, str]] = {
    (ConditionType.ACCEPTED, "True"): ("accepted", "The job was accepted and waits for its turn"),
    (ConditionType.ADMITTED, "True"): ("admitted", "The job was admitted; its pods are being started"),
    (ConditionType.RUNNING, "True"): ("started", "Fine-tuning job started"),
    (ConditionType.SUSPENDED, "True"): ("paused", "The job was paused; resume it to go on"),
}


def _of_failure(job: JobView, condition: Condition) -> tuple[datetime, dict[str, Any]]:
    if job.phase is Phase.CANCELLED:
        return _event(job, "cancelled", condition.last_transition_time, "The job was cancelled")
    message = job.status.failure.message if job.status.failure else condition.message or condition.reason
    return _event(job, "failed", condition.last_transition_time, f"The job failed: {message}", level="error")


def _of_success(job: JobView, condition: Condition) -> Iterator[tuple[datetime, dict[str, Any]]]:
    model = tuned_model_of_job(job)
    if model:
        yield _event(job, "model", condition.last_transition_time, f"New fine-tuned model created: {model}")
    yield _event(job, "succeeded", condition.last_transition_time, "The job has successfully completed")


def _of_checkpoints(job: JobView) -> Iterator[tuple[datetime, dict[str, Any]]]:
    for checkpoint in job.status.checkpoints or []:
        if checkpoint.created_at is not None:
            words, what = f"Checkpoint created at step {checkpoint.step}", f"{checkpoint.attempt}-{checkpoint.name}"
            yield _event(job, what, checkpoint.created_at, words, data={"step": checkpoint.step})


def _of_report(job: JobView, number: int, event: ProgressEvent) -> tuple[datetime, dict[str, Any]]:
    data = {
        "step": event.step,
        "total_steps": event.total_steps,
        "train_loss": finite(event.loss),
        "full_valid_loss": finite(event.eval_loss),
        "learning_rate": finite(event.learning_rate),
        "epoch": finite(event.epoch),
    }
    shown = {name: value for name, value in data.items() if value is not None}
    losses = [
        f"{words}={value:.2f}"
        for words, value in (("training loss", data["train_loss"]), ("full validation loss", data["full_valid_loss"]))
        if value is not None
    ]
    place = f"Step {event.step}/{event.total_steps}" if event.total_steps else f"Step {event.step}"
    words = ", ".join([place, *losses]).replace(", ", ": ", 1)
    return _event(job, f"{_METRICS_MARK[1:]}{number}", event.time, words, kind="metrics", data=shown)


def _event(
    job: JobView,
    what: str,
    time: datetime,
    message: str,
    *,
    level: str = "info",
    kind: str = "message",
    data: Mapping[str, Any] | None = None,
) -> tuple[datetime, dict[str, Any]]:
    return time, {
        "object": "fine_tuning.job.event",
        "id": f"{_EVENT_PREFIX}{job.name}-{what}",
        "created_at": seconds(time),
        "level": level,
        "message": message,
        "type": kind,
        "data": dict(data) if data is not None else None,
    }


def checkpoints_of(checkpoints: Sequence[CheckpointView], log: JobLog) -> list[dict[str, Any]]:
    """Checkpoints with what was measured at their step, the highest step first."""
    job = log.job
    known = {checkpoint.name: checkpoint.created_at for checkpoint in job.status.checkpoints or []}
    model = tuned_model_of_job(job) or model_of_job(job)
    return [
        {
            "object": "fine_tuning.job.checkpoint",
            "id": f"ftckpt-{job.name}-{checkpoint.step}",
            "created_at": seconds(known.get(checkpoint.name) or job.status.start_time or job.created_at),
            "fine_tuned_model_checkpoint": f"{model}:ckpt-step-{checkpoint.step}",
            "fine_tuning_job_id": job.name,
            "metrics": _metrics_at(checkpoint.step, log.events),
            "step_number": checkpoint.step,
        }
        for checkpoint in checkpoints
    ]


def _metrics_at(step: int, events: Sequence[ProgressEvent]) -> dict[str, float | None]:
    """The last numbers up to a step; a repeated step counts as it was done last."""
    until = [event for event in events if event.step is not None and event.step <= step]
    losses = [event.loss for event in until if event.loss is not None]
    evaluations = [event.eval_loss for event in until if event.eval_loss is not None]
    valid_loss = finite(evaluations[-1]) if evaluations else None
    return {
        "step": step,
        "train_loss": finite(losses[-1]) if losses else None,
        "train_mean_token_accuracy": None,
        "valid_loss": valid_loss,
        "valid_mean_token_accuracy": None,
        "full_valid_loss": valid_loss,
        "full_valid_mean_token_accuracy": None,
    }


def result_rows(events: Sequence[ProgressEvent]) -> Iterator[str]:
    """The lines of a result file: comma-separated, one for each report."""
    yield "step,train_loss,train_accuracy,valid_loss,valid_mean_token_accuracy"
    for event in events:
        numbers = (event.step, finite(event.loss), None, finite(event.eval_loss), None)
        yield ",".join("" if number is None else str(number) for number in numbers)
