"""Use cases of jobs that exist: list, get, count, cancel. No HTTP, no dialect."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from fettle_api.errors import JobFinishedError
from fettle_api.jobs.queue import JobQueue, job_queue
from fettle_api.resources.models import JobCounts, JobView
from fettle_api.resources.store import Store
from fettle_schema.vocabulary import Phase

_LATELY = timedelta(hours=24)
_MOMENT = timedelta(seconds=0.25)
"""How long a queue is good for: with thousands of jobs, sorting them for each question would be all that is done."""
_WAITING = (Phase.PENDING, Phase.QUEUED)


class Jobs:
    """TrainingJobs of the namespace, whoever made them."""

    def __init__(self, store: Store, clock: Callable[[], datetime]) -> None:
        self._store, self._clock = store, clock
        self._queue, self._queue_at = JobQueue((), ()), datetime.min.replace(tzinfo=UTC)

    async def all(self) -> list[JobView]:
        """All jobs, in order of creation."""
        return await self._store.list_jobs()

    async def get(self, name: str) -> JobView:
        """Raises JobNotFoundError."""
        return await self._store.get_job(name)

    async def queue_of(self, job: JobView) -> JobQueue:
        """The queue that a job waits in, as it was a moment ago at most; empty for one that does not wait."""
        if job.phase not in _WAITING or job.is_stopping:
            return JobQueue((), ())
        now = self._clock()
        if now - self._queue_at > _MOMENT or not self._queue.holds(job.name):
            self._queue, self._queue_at = job_queue(await self.all()), now
        return self._queue

    async def cancel(self, name: str) -> JobView:
        """Stop a job for good. Raises JobNotFoundError, JobFinishedError."""
        job = await self._store.get_job(name)
        if job.is_finished or job.is_stopping:
            raise JobFinishedError(f"training job {name!r} has ended already")
        return await self._store.cancel_job(name)

    async def suspend(self, name: str, suspend: bool) -> JobView:
        """Let a job wait with its checkpoint, or go on; the same again changes nothing.

        Raises JobNotFoundError, JobFinishedError.
        """
        job = await self._store.get_job(name)
        if job.is_finished or job.is_stopping:
            raise JobFinishedError(f"training job {name!r} has ended already")
        return await self._store.suspend_job(name, suspend)

    async def delete(self, name: str) -> JobView:
        """Remove a job; one that has not ended is stopped first, and never runs again. Raises JobNotFoundError."""
        job = await self._store.get_job(name)
        if not job.is_finished and not job.is_stopping:
            job = await self._store.cancel_job(name)
        await self._store.delete_job(job)
        return job

    async def count(self) -> JobCounts:
        """Counts over all jobs."""
        jobs, now = await self._store.list_jobs(), self._clock()
        phases = Counter(job.visible_phase for job in jobs)
        running = [job for job in jobs if job.phase is Phase.RUNNING and not job.is_stopping]
        lately = [
            job
            for job in jobs
            if job.phase is Phase.SUCCEEDED and job.completion_time is not None and now - job.completion_time <= _LATELY
        ]
        return JobCounts(
            total=len(jobs),
            by_phase=dict(phases),
            succeeded_lately=len(lately),
            gpu_seconds=sum(job.gpu_seconds for job in jobs),
            running=min(running, key=lambda job: job.start_time or job.created_at, default=None),
        )
