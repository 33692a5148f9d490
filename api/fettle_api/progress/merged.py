"""Progress of a job from two sources, its file and its resource: which is later, and what is new in it. Pure."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fettle_api.resources.contents import OpenContents
from fettle_api.resources.models import JobView
from fettle_schema.run import ProgressEvent
from fettle_schema.status import Progress

_REPORTED = ("step", "total_steps", "epoch", "loss", "eval_loss", "learning_rate", "grad_norm", "tokens_per_second")


def with_progress(job: JobView, progress: Progress | None) -> JobView:
    """The job with this progress."""
    return _with_reports(job, {"progress": progress})


def same_but_progress(one: JobView, other: JobView) -> bool:
    """Whether two views differ at most in what the receiver writes."""
    return _without_reports(one) == _without_reports(other)


def is_later(one: Progress, other: Progress | None) -> bool:
    """Whether `one` was reported after `other`."""
    if other is None or other.last_report_time is None:
        return one.last_report_time is not None or other is None
    if one.last_report_time is None:
        return False
    return ((one.attempt or 0), one.last_report_time) > ((other.attempt or 0), other.last_report_time)


def report_of(before: Progress | None, after: Progress | None) -> ProgressEvent | None:
    """The step that lies between two states, where a trainer leaves no file to read it from."""
    if after is None or after.step is None or after.last_report_time is None:
        return None
    if before is not None and (before.attempt, before.step) == (after.attempt, after.step):
        return None
    values = {name: getattr(after, name) for name in _REPORTED}
    return ProgressEvent(time=after.last_report_time, attempt=after.attempt or 1, stage=after.stage, **values)


def _without_reports(job: JobView) -> JobView:
    return _with_reports(job, {"progress": None, "checkpoints": None})


def _with_reports(job: JobView, reports: Mapping[str, Any]) -> JobView:
    return replace(job, contents=OpenContents(job.spec, job.status.model_copy(update=reports)))
