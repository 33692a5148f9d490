"""What happens to jobs, for those who follow them, and a follower's queue. No I/O."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TypeAlias

from fettle_api.errors import SlowFollowerError
from fettle_api.resources.models import JobView
from fettle_schema.run import ProgressEvent

MAX_WAITING = 1024
"""Events that wait for one follower; of a job that logs ten steps a second, more than a minute."""


@dataclass(frozen=True)
class JobChanged:
    """The job's state; `job.status.progress` is the newest that is known, the last report's included."""

    job: JobView
    before: JobView | None = None
    """What was known before; None for the first event of a follower, and for a job that is new."""


@dataclass(frozen=True)
class JobReported:
    """One report of the trainer; `job.status.progress` has it already."""

    job: JobView
    event: ProgressEvent


@dataclass(frozen=True)
class JobGone:
    """The job was deleted; `job` is how it was last."""

    job: JobView


LiveEvent: TypeAlias = JobChanged | JobReported | JobGone


class Follower:
    """Events for one reader, in order. Whoever publishes never waits: a reader that is too slow is cut off."""

    def __init__(self, capacity: int = MAX_WAITING) -> None:
        self._capacity = capacity
        self._events: deque[LiveEvent] = deque()
        self._wake = asyncio.Event()
        self._is_ended = self._is_cut_off = False

    def put(self, event: LiveEvent) -> None:
        """One more event, unless it has ended."""
        if self._is_ended:
            return
        if len(self._events) >= self._capacity:
            self._events.clear()
            self._is_cut_off = True
            self.end()
            return
        self._events.append(event)
        self._wake.set()

    def end(self) -> None:
        """No more events; those that wait are still read."""
        self._is_ended = True
        self._wake.set()

    @property
    def is_ended(self) -> bool:
        """Nothing is added any more."""
        return self._is_ended

    def __aiter__(self) -> AsyncIterator[LiveEvent]:
        return self

    async def __anext__(self) -> LiveEvent:
        """Raises SlowFollowerError if events were lost."""
        while not self._events:
            if self._is_cut_off:
                raise SlowFollowerError(f"more than {self._capacity} events were waiting to be read")
            if self._is_ended:
                raise StopAsyncIteration
            self._wake.clear()
            await self._wake.wait()
        return self._events.popleft()
