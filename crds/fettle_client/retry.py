"""When to ask again: capped, jittered back-off over a bounded number of attempts and a bounded time. No I/O."""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fettle_client.errors import has_seen_nothing, retry_after_seconds
from fettle_client.protocol import UnavailableError

Answer = TypeVar("Answer")

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RetryPolicy:
    """How patient the client is with a server that is overloaded, restarting or out of reach."""

    attempts: int = 6
    first_delay_seconds: float = 0.2
    max_delay_seconds: float = 8.0
    total_seconds: float = 40.0
    """No attempt starts later than this after the first."""

    def delay_seconds(self, failures: int, error: UnavailableError | None = None) -> float:
        """How long to wait after so many failures in a row; never shorter than the server asked for."""
        longest = min(self.max_delay_seconds, self.first_delay_seconds * 2.0 ** min(failures - 1, 30))
        jittered = longest * random.uniform(0.5, 1.0)
        return max(jittered, retry_after_seconds(error)) if error else jittered

    async def run(self, attempt: Callable[[], Awaitable[Answer]], is_repeatable: bool) -> Answer:
        """The first answer but UnavailableError. What is not repeatable is sent again only if it had no effect."""
        last_start = time.monotonic() + self.total_seconds
        for failures in range(1, self.attempts + 1):
            try:
                return await attempt()
            except UnavailableError as error:
                delay = self.delay_seconds(failures, error)
                is_last = failures == self.attempts or time.monotonic() + delay > last_start
                if is_last or not (is_repeatable or has_seen_nothing(error)):
                    raise
                _log.debug("attempt %d failed with %s, again in %.1f s: %s", failures, error.code, delay, error)
                await asyncio.sleep(delay)
        raise ValueError("a RetryPolicy needs at least one attempt")
