import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest

from fettle_api.errors import SlowFollowerError
from fettle_api.progress.announcements import MAX_WAITING, Announcement, Announcements, Happening, merged

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def announcement(message: str) -> Announcement:
    return Announcement(Happening.DATASET_BUILT, NOW, message)


async def test_followers_hear_what_comes_while_they_follow() -> None:
    announcements = Announcements()
    announcements.announce(announcement("before"))
    with announcements.follow() as one, announcements.follow() as other:
        waiting = asyncio.ensure_future(anext(one))
        await asyncio.sleep(0)
        for message in ("first", "second"):
            announcements.announce(announcement(message))
        assert (await waiting).message == "first"
        assert [(await anext(follower)).message for follower in (one, other, other)] == ["second", "first", "second"]
    announcements.announce(announcement("after"))


async def test_a_follower_that_does_not_read_is_cut_off() -> None:
    announcements = Announcements()
    with announcements.follow() as follower:
        for number in range(MAX_WAITING + 1):
            announcements.announce(announcement(str(number)))
        with pytest.raises(SlowFollowerError):
            await anext(follower)


async def test_merged_sources_end_with_the_first() -> None:
    queue: asyncio.Queue[str] = asyncio.Queue()

    async def endless() -> AsyncIterator[str]:
        while True:
            yield await queue.get()

    async def short() -> AsyncIterator[str]:
        yield "a"
        queue.put_nowait("b")
        await asyncio.sleep(0.01)

    assert [item async for item in merged(endless(), short())] == ["a", "b"]


async def test_an_error_of_a_source_is_raised() -> None:
    async def broken() -> AsyncIterator[str]:
        yield "a"
        raise SlowFollowerError("slow")

    items = merged(broken())
    assert await anext(items) == "a"
    with pytest.raises(SlowFollowerError):
        await anext(items)
