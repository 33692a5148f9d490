"""A queue of keys that need a look: each is held once, handled by one worker at a time, and retried with back-off.

Urgent keys go first, but of nine keys that are handed out at least one was not urgent, if there is any.
"""

import asyncio
from collections import deque
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

_MAX_URGENT_IN_A_ROW = 8
_MAX_HOLDS = 10


class WorkQueue(Generic[K]):
    """What arrives while a key is handled is handled once more afterwards, never at the same time."""

    def __init__(self, base_seconds: float = 0.5, cap_seconds: float = 60.0) -> None:
        self._ready: deque[K] = deque()
        self._urgent: deque[K] = deque()
        self._urgent_in_a_row = 0
        self._dirty: dict[K, bool] = {}
        """What is to be handled, in a queue or after its worker has given it back, and whether that is urgent."""
        self._active: set[K] = set()
        self._failures: dict[K, int] = {}
        self._timers: dict[K, asyncio.TimerHandle] = {}
        self._held: dict[K, asyncio.TimerHandle] = {}
        self._base, self._cap = base_seconds, cap_seconds
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._ready) + len(self._urgent)

    def add(self, key: K, *, is_urgent: bool = False) -> None:
        """Handle the key soon. One that is in the queue keeps its place."""
        if key in self._dirty or key in self._held or self._is_closed:
            return
        self._dirty[key] = is_urgent
        if key not in self._active:
            self._push(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Handle the key in `seconds`, unless a timer is set for earlier."""
        if self._is_closed:
            return
        if seconds <= 0:
            self.add(key)
            return
        loop = asyncio.get_running_loop()
        pending = self._timers.get(key)
        if pending is not None:
            if pending.when() <= loop.time() + seconds:
                return
            pending.cancel()
        self._timers[key] = loop.call_later(seconds, self._fire, key)

    def hold(self, key: K, seconds: float) -> None:
        """Handle the key in `seconds` and not before, whoever adds it meanwhile; called while it is handled.

        While urgent keys wait it is held again, up to ten times in all.
        """
        if self._is_closed or key in self._held:
            return
        self._dirty.pop(key, None)
        self._hold(key, seconds, _MAX_HOLDS)

    def retry(self, key: K) -> float:
        """Handle the key again after its back-off, which doubles each time; returns the wait in seconds."""
        count = self._failures.get(key, 0)
        self._failures[key] = count + 1
        seconds = min(self._cap, self._base * 2.0 ** min(count, 30))
        self.add_after(key, seconds)
        return seconds

    def forget(self, key: K) -> None:
        """The key went well: its next back-off starts from the beginning."""
        self._failures.pop(key, None)

    async def get(self) -> K | None:
        """The next key, to be given back by `done`; None when the queue is closed."""
        while not (self._ready or self._urgent):
            if self._is_closed:
                return None
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter
        key = self._next()
        del self._dirty[key]
        self._active.add(key)
        return key

    def done(self, key: K) -> None:
        """The key was handled."""
        self._active.discard(key)
        if key in self._dirty:
            self._push(key)

    def close(self) -> None:
        """Nothing more is handed out; waiting workers get None."""
        self._is_closed = True
        self._ready.clear()
        self._urgent.clear()
        for timer in (*self._timers.values(), *self._held.values()):
            timer.cancel()
        self._timers.clear()
        self._held.clear()
        while self._waiters:
            self._wake_one()

    def _push(self, key: K) -> None:
        (self._urgent if self._dirty[key] else self._ready).append(key)
        self._wake_one()

    def _next(self) -> K:
        if self._urgent and (not self._ready or self._urgent_in_a_row < _MAX_URGENT_IN_A_ROW):
            self._urgent_in_a_row += 1
            return self._urgent.popleft()
        self._urgent_in_a_row = 0
        return self._ready.popleft()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _hold(self, key: K, seconds: float, holds: int) -> None:
        self._held[key] = asyncio.get_running_loop().call_later(seconds, self._let_go, key, seconds, holds - 1)

    def _let_go(self, key: K, seconds: float, holds: int) -> None:
        if self._urgent and holds > 0:
            self._hold(key, seconds, holds)
            return
        del self._held[key]
        self.add(key)

    def _fire(self, key: K) -> None:
        self._timers.pop(key, None)
        self.add(key)
