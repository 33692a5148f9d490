"""Long lists, made a few items at a time, so that other requests are answered in between. Knows no dialect."""

import asyncio
from collections.abc import Callable, Iterable
from typing import TypeVar

Item = TypeVar("Item")
Made = TypeVar("Made")

_AT_ONCE = 20
"""To unpack a job and to show it takes a quarter of a millisecond."""


async def in_slices(items: Iterable[Item], make: Callable[[Item], Made]) -> list[Made]:
    """`make` of each item, in order."""
    found: list[Made] = []
    for number, item in enumerate(items, 1):
        found.append(make(item))
        if number % _AT_ONCE == 0:
            await asyncio.sleep(0)
    return found
