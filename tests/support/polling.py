"""Waiting for what happens elsewhere: poll with a deadline, never sleep and hope."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

Answer = TypeVar("Answer")


async def eventually(
    condition: Callable[[], Awaitable[Answer]], what: str, within_seconds: float = 60, every_seconds: float = 0.1
) -> Answer:
    """The first true answer of `condition`; fails with `what` when none comes in time."""
    deadline = time.monotonic() + within_seconds
    while not (answer := await condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_seconds} s: {what}")
        await asyncio.sleep(every_seconds)
    return answer
