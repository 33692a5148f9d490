"""One thread for one tracking backend, behind a bounded queue: a backend may be slow or dead, and no step waits for it.

What goes wrong becomes one warning.
"""

import threading
import time
from collections import deque
from collections.abc import Callable

from fettle_trainer.tracking.port import Outcome, Point, Tracker

QUEUE_LENGTH = 10_000
BATCH_LENGTH = 100
INTERVAL_SECONDS = 1.0
"""Points of this time are sent together: a backend over HTTP is slower than a step."""


class TrackerWorker:
    """Opens the backend in its own thread, since an import or a connection may take long, and feeds it.

    It is opened when the first point comes: until then the run imports torch, and must not share that time. A run that
    has finished is told to it in any case, since an attempt may end well without a step of its own.
    """

    def __init__(self, name: str, open_tracker: Callable[[], Tracker], warn: Callable[[str], None]) -> None:
        self._name = name
        self._open = open_tracker
        self._warn = warn
        self._queue: deque[Point] = deque()
        self._changed = threading.Condition()
        self._outcome: Outcome | None = None
        self._is_off = False
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name=f"tracking-{name}", daemon=True)
        self._thread.start()

    def put(self, point: Point) -> None:
        """Queue a point. Never blocks: where the queue is full, the oldest gives way."""
        with self._changed:
            if self._is_off:
                return
            if len(self._queue) >= QUEUE_LENGTH:
                self._queue.popleft()
                self._dropped += 1
            self._queue.append(point)
            if len(self._queue) in (1, BATCH_LENGTH):
                self._changed.notify()

    def ask_to_finish(self, outcome: Outcome) -> None:
        """Send what is left, then end. Does not wait."""
        with self._changed:
            self._outcome = outcome
            self._changed.notify()

    def join(self, deadline: float) -> bool:
        """Whether it ended before `deadline` (of the monotonic clock). One warning if not, or if points are lost."""
        self._thread.join(max(deadline - time.monotonic(), 0.0))
        if self._thread.is_alive():
            self._warn(f"{self._name} tracking did not take everything in time; {len(self._queue)} steps are missing")
            return False
        if self._dropped and not self._is_off:
            self._warn(f"{self._name} tracking was too slow; {self._dropped} steps are missing")
        return True

    def _run(self) -> None:
        try:
            tracker: Tracker | None = None
            while points := self._next_points():
                tracker = tracker or self._open()
                tracker.log(points)
            outcome = self._outcome
            if outcome is not None and (tracker is not None or outcome is Outcome.FINISHED):
                (tracker or self._open()).finish(outcome)
        except Exception as error:  # the edge of the thread; what a backend's library raises must not end the run
            with self._changed:
                self._is_off = True
                self._queue.clear()
            self._warn(f"{self._name} tracking is off: {type(error).__name__}: {str(error)[:300]}; the run continues")

    def _next_points(self) -> list[Point]:
        """The oldest points, once there are some; empty when all are sent and the end was asked for."""
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._outcome is not None)
            self._changed.wait_for(
                lambda: len(self._queue) >= BATCH_LENGTH or self._outcome is not None, timeout=INTERVAL_SECONDS
            )
            return [self._queue.popleft() for _ in range(min(len(self._queue), BATCH_LENGTH))]
