"""What admission knows about all jobs, fed by every manifest that is seen. No I/O.

Manifests may arrive late (a watch lags behind our own writes): an older resourceVersion never replaces a newer one.
"""

from itertools import islice

from fettle_operator.admission import Decision, Place, QueuedJob, decide
from fettle_operator.plan import Key, Manifest, key_of
from fettle_operator.settings import QueueLimits
from fettle_schema.names import ANNOTATION_CREATED_AT
from fettle_schema.reasons import Reason
from fettle_schema.vocabulary import ConditionType

WOKEN = 20
"""How many of the first waiting jobs look again when a place becomes free; the others do at the next resync."""


class QueueIndex:
    """All jobs that wait for, or hold, a place in a queue."""

    def __init__(self) -> None:
        self._jobs: dict[Key, QueuedJob] = {}
        self._versions: dict[Key, tuple[str, int]] = {}
        self._decisions: dict[str, tuple[QueueLimits, dict[Key, Decision]]] = {}
        self._first: dict[str, list[Key]] = {}
        """The first of each queue when its decisions were made last; the queue is not sorted again for an arrival."""

    def observe(self, job: Manifest, is_deleted: bool = False) -> list[Key]:
        """Take in one manifest; returns the waiting jobs that should look again because of it."""
        metadata = job["metadata"]
        key = key_of(job)
        if self._is_stale(key, metadata, is_deleted):
            return []
        before = self._jobs.pop(key, None)
        after = None if is_deleted else entry(job)
        if after is not None:
            self._jobs[key] = after
        if before == after:
            return []
        self._changed(before, after)
        if before is None:
            return self._overtaken(after) if after is not None else []
        return [waiting for waiting in self._first_waiting(before.queue) if waiting != key]

    def is_newest(self, job: Manifest) -> bool:
        """Whether nothing newer of that name was observed."""
        metadata = job["metadata"]
        seen = (metadata.get("uid", ""), _number(metadata.get("resourceVersion")))
        return self._versions.get(key_of(job)) == seen

    def decision(self, key: Key, limits: QueueLimits) -> Decision | None:
        """What the queue says about a job; None if it does not wait."""
        job = self._jobs.get(key)
        if job is None or job.place is not Place.WAITING:
            return None
        if limits.is_unlimited:
            return Decision(True, Reason.ADMITTED, f"queue {job.queue!r} has no limits")
        cached = self._decisions.get(job.queue)
        if cached is None or cached[0] != limits:
            cached = (limits, decide(job.queue, self._queue(job.queue), limits))
            self._decisions[job.queue] = cached
            self._first[job.queue] = list(islice(cached[1], WOKEN))
        return cached[1][key]

    def remove(self, key: Key) -> list[Key]:
        """The job does not exist any more; returns the waiting jobs that should look again."""
        self._versions.pop(key, None)
        before = self._jobs.pop(key, None)
        self._changed(before)
        return self._first_waiting(before.queue) if before is not None else []

    def missing(self, existing: set[Key], namespace: str | None, resource_version: str) -> list[Key]:
        """After a full list (of a namespace) as of `resource_version`: what was gone then."""
        listed = _number(resource_version)
        return [
            key
            for key, (_, seen) in self._versions.items()
            if key not in existing and seen <= listed and namespace in (None, key[0])
        ]

    def _changed(self, *jobs: QueuedJob | None) -> None:
        for job in jobs:
            if job is not None:
                self._decisions.pop(job.queue, None)

    def _is_stale(self, key: Key, metadata: Manifest, is_deleted: bool) -> bool:
        uid, version = metadata.get("uid", ""), _number(metadata.get("resourceVersion"))
        known = self._versions.get(key)
        if known is not None and known[1] > version:
            return True
        if is_deleted and known is not None and known[0] != uid:
            return True
        self._versions[key] = (uid, version)
        return False

    def _queue(self, queue: str) -> list[QueuedJob]:
        return [job for job in self._jobs.values() if job.queue == queue]

    def _overtaken(self, arrival: QueuedJob) -> list[Key]:
        """Of those that were first in the order, and were told so, those that have one more before them now."""
        told = [self._jobs[key] for key in self._first.get(arrival.queue, ()) if key in self._jobs]
        return [job.key for job in told if job.place is Place.WAITING and job.order > arrival.order]

    def _first_waiting(self, queue: str) -> list[Key]:
        if queue not in self._first:  # nobody was told to wait
            return []
        waiting = [job for job in self._queue(queue) if job.place is Place.WAITING]
        return [job.key for job in sorted(waiting, key=lambda job: job.order)[:WOKEN]]


def entry(job: Manifest) -> QueuedJob | None:
    """A job's place in its queue; None if it neither waits nor holds one.

    A job that nobody looked at yet waits already: otherwise a younger one would overtake it.
    """
    spec, metadata = job.get("spec") or {}, job["metadata"]
    scheduling, resources = spec.get("scheduling") or {}, spec.get("resources") or {}
    conditions = {c["type"]: c["status"] for c in (job.get("status") or {}).get("conditions") or []}
    is_finished = "True" in (conditions.get(ConditionType.COMPLETE), conditions.get(ConditionType.FAILED))
    if is_finished or scheduling.get("kueueQueue"):
        return None
    holds = conditions.get(ConditionType.ADMITTED) == "True"
    is_refused = conditions.get(ConditionType.ACCEPTED, "True") != "True"
    is_held_back = spec.get("suspend") or spec.get("cancel") or is_refused
    if not holds and (is_held_back or metadata.get("deletionTimestamp")):
        return None
    annotations = metadata.get("annotations") or {}
    return QueuedJob(
        key=key_of(job),
        queue=scheduling.get("queue") or "default",
        place=Place.HOLDING if holds else Place.WAITING,
        priority=scheduling.get("priority") or "normal",
        created_at=annotations.get(ANNOTATION_CREATED_AT) or metadata.get("creationTimestamp") or "",
        gpu_count=int(resources.get("gpusPerNode", 1)) * int(resources.get("nodes", 1)),
    )


def _number(resource_version: str | None) -> int:
    return int(resource_version) if resource_version and resource_version.isdigit() else 0
