"""Who may start: one serial pass over a queue. Pure.

Order: priority, then age, then name. A job that fits starts. Once a job has to wait for GPUs, nothing behind it in the
order starts either: otherwise small jobs would overtake a large one for ever. A job that asks for more GPUs than its
queue ever has is passed over.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from fettle_operator.plan import Key
from fettle_operator.settings import QueueLimits
from fettle_schema.reasons import Reason

_RANK = {"high": 0, "normal": 1, "low": 2}


class Place(StrEnum):
    """Where a job stands in its queue."""

    WAITING = "waiting"
    HOLDING = "holding"


@dataclass(frozen=True)
class QueuedJob:
    """What admission must know about one job."""

    key: Key
    queue: str
    place: Place
    priority: str
    created_at: str
    """RFC 3339 time; compared as text."""
    gpu_count: int

    @property
    def order(self) -> tuple[int, str, Key]:
        """Sorts the queue."""
        return _RANK.get(self.priority, 1), self.created_at, self.key


@dataclass(frozen=True)
class Decision:
    """What the queue says about one waiting job."""

    is_admitted: bool
    reason: str
    message: str


def decide(queue: str, jobs: Iterable[QueuedJob], limits: QueueLimits) -> dict[Key, Decision]:
    """A decision for every waiting job of one queue."""
    everything = list(jobs)
    running = sum(job.place is Place.HOLDING for job in everything)
    gpus = sum(job.gpu_count for job in everything if job.place is Place.HOLDING)
    waiting = sorted((job for job in everything if job.place is Place.WAITING), key=lambda job: job.order)
    decisions: dict[Key, Decision] = {}
    position = 0
    for job in waiting:
        if limits.max_gpus is not None and job.gpu_count > limits.max_gpus:
            decisions[job.key] = _too_large(queue, job, limits.max_gpus)
            continue
        full = limits.max_running is not None and running >= limits.max_running
        fits = limits.max_gpus is None or gpus + job.gpu_count <= limits.max_gpus
        if position == 0 and not full and fits:
            running, gpus = running + 1, gpus + job.gpu_count
            decisions[job.key] = Decision(True, Reason.ADMITTED, f"admitted by queue {queue!r}")
            continue
        position += 1
        decisions[job.key] = Decision(False, Reason.QUEUE_FULL, _waits(queue, position, running, gpus, limits))
    return decisions


def _waits(queue: str, position: int, running: int, gpus: int, limits: QueueLimits) -> str:
    parts = [f"position {position} in queue {queue!r}"]
    if limits.max_running is not None:
        parts.append(f"{running} of {limits.max_running} jobs running")
    if limits.max_gpus is not None:
        parts.append(f"{gpus} of {limits.max_gpus} GPUs in use")
    return ", ".join(parts)


def _too_large(queue: str, job: QueuedJob, max_gpus: int) -> Decision:
    message = (
        f"spec.resources asks for {job.gpu_count} GPUs, queue {queue!r} has {max_gpus} in all: "
        "use another queue, or fewer GPUs"
    )
    return Decision(False, Reason.EXCEEDS_QUEUE, message)
