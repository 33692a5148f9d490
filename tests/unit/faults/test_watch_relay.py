"""A watch comes late, twice, in another order, or not to its end."""

import asyncio
import json

import pytest

from tests.faults.plan import WatchFault
from tests.faults.watch_relay import CutError, faulty_lines


def stream(*lines: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    for line in lines:
        reader.feed_data(line)
    reader.feed_eof()
    return reader


async def passed(fault: WatchFault, *lines: bytes) -> list[bytes]:
    return [line async for line in faulty_lines(stream(*lines), fault)]


async def test_without_a_fault_everything_passes() -> None:
    assert await passed(WatchFault(), b"1\n", b"2\n", b"3\n") == [b"1\n", b"2\n", b"3\n"]


async def test_events_come_twice() -> None:
    assert await passed(WatchFault(doubles=True), b"1\n", b"2\n") == [b"1\n", b"1\n", b"2\n", b"2\n"]


async def test_events_change_places_and_none_is_lost() -> None:
    assert await passed(WatchFault(swaps=True), b"1\n", b"2\n", b"3\n", b"4\n", b"5\n") == [
        b"2\n",
        b"1\n",
        b"4\n",
        b"3\n",
        b"5\n",
    ]


async def test_a_watch_is_cut_in_the_middle_of_an_event() -> None:
    found: list[bytes] = []

    async def read() -> None:
        async for line in faulty_lines(stream(b"first\n", b"second\n"), WatchFault(ends_after=1)):
            found.append(line)

    with pytest.raises(CutError):
        await read()
    assert found == [b"first\n", b"sec"]


async def test_a_watch_ends_with_an_event_that_says_it_is_too_old() -> None:
    first, last = await passed(WatchFault(ends_after=1, ends_as_too_old=True), b"1\n", b"2\n", b"3\n")
    assert first == b"1\n"
    assert json.loads(last)["object"]["code"] == 410
