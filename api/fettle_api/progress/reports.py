"""Progress reports of running jobs, gathered and written at a bounded rate. Knows neither HTTP nor tokens."""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from fettle_api.errors import JobNotFoundError
from fettle_api.metrics import Metrics
from fettle_api.resources.models import JobView
from fettle_api.resources.store import Store
from fettle_client.protocol import ApiError, ConflictError
from fettle_schema.progress import MAX_CHECKPOINTS, merge_progress
from fettle_schema.run import ProgressEvent
from fettle_schema.status import Checkpoint, Progress
from fettle_schema.vocabulary import Phase

WRITES_PER_SECOND = 50
"""Of all jobs together."""
_WRITES_AT_ONCE = 50
_URGENT_SECONDS = 1.0
"""Even urgent writes of one job keep this distance, so that a broken trainer cannot flood the API server."""
_COUNT_SECONDS = 1.0
"""How old the number of running jobs may be: each report asks for it, and ten thousand jobs take milliseconds."""

_logger = logging.getLogger(__name__)


@dataclass
class _Pending:
    """What is known of one job, and when it was last written."""

    job: JobView
    progress: Progress | None
    checkpoints: list[Checkpoint]
    written_at: float = float("-inf")
    is_urgent: bool = False
    is_dirty: bool = False
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    writer: asyncio.Task[None] | None = None


class Reports:
    """Coalesces reports for each job: a change of stage, a new attempt and the first step are written at once."""

    def __init__(
        self,
        store: Store,
        interval_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        metrics: Metrics | None = None,
    ) -> None:
        self._metrics = metrics or Metrics()
        self._store, self._interval_seconds, self._monotonic = store, interval_seconds, monotonic
        self._pending: dict[str, _Pending] = {}
        self._running, self._counted_at = 0, float("-inf")
        self._next_turn = float("-inf")
        self._listeners: list[Callable[[str], None]] = []

    def subscribe(self, listener: Callable[[str], None]) -> None:
        """Call `listener` with the name of each job that reports, before anything is written."""
        self._listeners.append(listener)

    def add(self, job: JobView, event: ProgressEvent) -> None:
        """Take one report; it is written soon."""
        pending = self._pending.get(job.uid)
        if pending is None:
            pending = _Pending(job, job.status.progress, list(job.status.checkpoints or []))
            self._pending[job.uid] = pending
        _catch_up(pending, job)
        before = pending.progress
        pending.progress, pending.checkpoints = merge_progress(before, pending.checkpoints, event)
        pending.is_urgent = pending.is_urgent or _is_urgent(before, pending.progress, event)
        pending.is_dirty = True
        pending.wake.set()
        for listener in self._listeners:
            listener(job.name)
        if pending.writer is None:
            pending.writer = asyncio.create_task(self._write_until_clean(pending), name=f"progress-{job.name}")

    async def stop(self) -> None:
        """Write what is left."""
        writers = [pending.writer for pending in self._pending.values() if pending.writer]
        for writer in writers:
            writer.cancel()
        for writer in writers:
            with suppress(asyncio.CancelledError):
                await writer
        for pending in list(self._pending.values()):
            if pending.is_dirty:
                await self._write(pending)

    @property
    def interval_seconds(self) -> float:
        """Time between two ordinary writes of one job: all running jobs together write at most 50 times a second."""
        now = self._monotonic()
        if now - self._counted_at >= _COUNT_SECONDS:
            self._counted_at = now
            self._running = self._store.count_jobs(lambda job: job.phase is Phase.RUNNING)
        return max(self._interval_seconds, self._running / WRITES_PER_SECOND)

    async def _write_until_clean(self, pending: _Pending) -> None:
        """One task for each job with something to write; it lingers for one interval so that rates hold."""
        while pending.is_dirty or self._remaining(pending) > 0:
            pending.wake.clear()
            if pending.is_dirty and self._remaining(pending) <= 0:
                await asyncio.sleep(self._reserve_turn())
                await self._write(pending)
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(max(self._remaining(pending), 0.01)):
                    await pending.wake.wait()
        pending.writer = None
        self._pending.pop(pending.job.uid, None)

    def _remaining(self, pending: _Pending) -> float:
        distance = min(_URGENT_SECONDS, self.interval_seconds) if pending.is_urgent else self.interval_seconds
        return pending.written_at + distance - self._monotonic()

    def _reserve_turn(self) -> float:
        """Seconds until the next of the writes that all jobs share, urgent ones too: a thousand may start at once."""
        now = self._monotonic()
        self._next_turn = max(self._next_turn, now) + 1 / WRITES_PER_SECOND
        return max(0.0, self._next_turn - now - _WRITES_AT_ONCE / WRITES_PER_SECOND)

    async def _write(self, pending: _Pending) -> None:
        pending.written_at = self._monotonic()
        pending.is_dirty = pending.is_urgent = False
        try:
            await self._store.write_progress(pending.job, pending.progress or Progress(), pending.checkpoints)
        except asyncio.CancelledError:
            pending.is_dirty = True
            raise
        except (ConflictError, JobNotFoundError):  # another job has the name now, or none
            self._metrics.write_ended("gone")
            return
        except ApiError as error:
            self._metrics.write_ended("failed")
            pending.is_dirty = True
            _logger.warning("progress not written", extra={"job": pending.job.name, "error": str(error)})
            return
        self._metrics.write_ended("written")


def _is_urgent(before: Progress | None, after: Progress, event: ProgressEvent) -> bool:
    if before is None or before.attempt != after.attempt or before.stage != after.stage:
        return True
    return event.kind == "end" or (not before.step and bool(after.step))


def _catch_up(pending: _Pending, job: JobView) -> None:
    """What another replica has written since: its newer progress, and every checkpoint that either knows."""
    pending.job = job
    stored, held = job.status.progress, pending.progress
    held_time = held.last_report_time if held else None
    if stored and stored.last_report_time and (held_time is None or held_time < stored.last_report_time):
        pending.progress = stored
    known = {checkpoint.path: checkpoint for checkpoint in [*(job.status.checkpoints or []), *pending.checkpoints]}
    ordered = sorted(known.values(), key=lambda checkpoint: (checkpoint.attempt, checkpoint.step))
    pending.checkpoints = ordered[-MAX_CHECKPOINTS:]
