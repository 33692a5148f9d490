"""Posting progress to the receiver. Nothing that happens here may slow or end a run. Standard library only."""

import json
import threading
import urllib.error
import urllib.request
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

_QUEUE_LENGTH = 64
_TIMEOUT_SECONDS = 3.0
_MIN_INTERVAL_SECONDS = 1.0
_MAX_BACKOFF_SECONDS = 30.0


class Reporter:
    """A thread with a short queue: a step replaces the step before it, so that a slow receiver gets the newest."""

    def __init__(self, url: str, token_file: Path | None, warn: Callable[[str], None]) -> None:
        self._url = url
        self._token_file = token_file
        self._warn = warn
        self._queue: deque[dict[str, Any]] = deque(maxlen=_QUEUE_LENGTH)
        self._changed = threading.Condition()
        self._is_closing = False
        self._has_warned = False
        self._failures = 0
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)
        self._thread.start()

    def put(self, event: dict[str, Any]) -> None:
        """Queue an event; never blocks."""
        with self._changed:
            if self._queue and _is_step(event) and _is_step(self._queue[-1]):
                self._queue[-1] = event
            else:
                self._queue.append(event)
            self._changed.notify()

    def close(self, wait_seconds: float) -> None:
        """Post what is left, for at most `wait_seconds`."""
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join(wait_seconds)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._is_closing)
                if not self._queue:
                    return
                event = self._queue.popleft()
            is_delivered = self._deliver(event)
            with self._changed:
                if not is_delivered and self._is_closing:
                    return
                pause = _MIN_INTERVAL_SECONDS if is_delivered else min(2.0**self._failures, _MAX_BACKOFF_SECONDS)
                if not is_delivered or _is_step(event):
                    self._changed.wait_for(lambda: self._is_closing, timeout=pause)
                if not is_delivered and not (self._queue and _is_step(event)):
                    self._queue.appendleft(event)  # drops the newest only if 64 events that are no steps wait

    def _deliver(self, event: dict[str, Any]) -> bool:
        try:
            self._post(event)
        except urllib.error.HTTPError as error:
            error.close()
            self._failed(f"answered {error.code}")
            # What it refuses now it will refuse again; only overload and its own faults pass.
            return error.code < 500 and error.code != 429
        except (OSError, ValueError) as error:
            self._failed(f"cannot be reached ({getattr(error, 'reason', error)})")
            return False
        self._failures, self._has_warned = 0, False
        return True

    def _post(self, event: dict[str, Any]) -> None:
        headers = {"Content-Type": "application/json"}
        if self._token_file is not None:
            headers["Authorization"] = f"Bearer {self._token_file.read_text().strip()}"
        request = urllib.request.Request(self._url, json.dumps(event).encode(), headers, method="POST")
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            response.read(1024)

    def _failed(self, what: str) -> None:
        self._failures = min(self._failures + 1, 10)
        if not self._has_warned:
            self._has_warned = True
            self._warn(f"the progress receiver {what}; the run continues")


def _is_step(event: dict[str, Any]) -> bool:
    return bool(event.get("kind", "step") == "step")
