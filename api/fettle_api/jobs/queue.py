"""Which jobs run, which wait, and in which order: what a caller may be told of the queue. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from fettle_api.resources.models import JobView
from fettle_schema.vocabulary import Phase

_RUNNING = (Phase.STARTING, Phase.RUNNING)
_WAITING = (Phase.PENDING, Phase.QUEUED)
_ORDER = {"high": 0, "normal": 1, "low": 2}


@dataclass(frozen=True)
class JobQueue:
    """The queue at one moment. A job that is being stopped, or that somebody suspended, is not in it."""

    running: tuple[JobView, ...]
    """Also the next job, if nothing runs and the operator has not looked at it yet: it is about to start."""
    waiting: tuple[JobView, ...]
    """The next one first."""

    def holds(self, name: str) -> bool:
        """Whether a job runs or waits."""
        return any(job.name == name for job in (*self.running, *self.waiting))

    def position(self, name: str) -> int | None:
        """Place among those that wait; the next one has 1. None for a job that does not wait."""
        return next((place for place, job in enumerate(self.waiting, 1) if job.name == name), None)


def job_queue(jobs: Iterable[JobView]) -> JobQueue:
    """The order of admission: priority, then age."""
    known = [job for job in jobs if not job.is_stopping]
    running = [job for job in known if job.phase in _RUNNING]
    waiting = sorted((job for job in known if job.phase in _WAITING), key=_turn)
    if not running and waiting and not waiting[0].status.conditions:
        running = [waiting.pop(0)]
    return JobQueue(tuple(running), tuple(waiting))


def _turn(job: JobView) -> tuple[int, float, str]:
    return _ORDER[job.priority], job.created_at.timestamp(), job.name
