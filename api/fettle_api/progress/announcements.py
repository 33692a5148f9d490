"""What this facade did and no job tells: a dataset built, a model activated or imported. For whoever follows now.

Nothing is kept: a follower hears what is announced while it follows, in this process.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from fettle_api.errors import SlowFollowerError

MAX_WAITING = 1024
Item = TypeVar("Item")


class Happening(StrEnum):
    """What is announced."""

    DATASET_BUILT = "dataset_built"
    MODEL_ACTIVATED = "model_activated"
    MODEL_IMPORTED = "model_imported"


@dataclass(frozen=True)
class Announcement:
    """Something that was done."""

    happening: Happening
    time: datetime
    message: str
    job_name: str | None = None
    dataset_name: str | None = None


class Announcements:
    """Tells all followers; never waits for one."""

    def __init__(self) -> None:
        self._followers: set[_Follower] = set()

    def announce(self, announcement: Announcement) -> None:
        """Tell whoever follows."""
        for follower in self._followers:
            follower.put(announcement)

    @contextmanager
    def follow(self) -> Iterator[AsyncIterator[Announcement]]:
        """What is announced from now on. Reading raises SlowFollowerError if the reader was too slow."""
        follower = _Follower()
        self._followers.add(follower)
        try:
            yield follower
        finally:
            self._followers.discard(follower)


class _Follower:
    def __init__(self) -> None:
        self._waiting: deque[Announcement] = deque()
        self._wake = asyncio.Event()
        self._is_cut_off = False

    def put(self, announcement: Announcement) -> None:
        if len(self._waiting) >= MAX_WAITING:
            self._is_cut_off = True
        else:
            self._waiting.append(announcement)
        self._wake.set()

    def __aiter__(self) -> AsyncIterator[Announcement]:
        return self

    async def __anext__(self) -> Announcement:
        while not self._waiting or self._is_cut_off:
            if self._is_cut_off:
                raise SlowFollowerError(f"more than {MAX_WAITING} announcements were waiting to be read")
            self._wake.clear()
            await self._wake.wait()
        return self._waiting.popleft()


async def merged(*sources: AsyncIterator[Item]) -> AsyncIterator[Item]:
    """Items of all sources as they come; ends with the first that ends."""
    pending = {asyncio.ensure_future(anext(source)): source for source in sources}
    try:
        while True:
            done, _ = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                source = pending.pop(task)
                try:
                    item = task.result()
                except StopAsyncIteration:
                    return
                pending[asyncio.ensure_future(anext(source))] = source
                yield item
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
