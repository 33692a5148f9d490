"""Progress of a run: lines of `metrics.jsonl`, which the supervisor follows, and one line of log for people.

Imports neither torch nor transformers; the callback of a training loop is in `callbacks`.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fettle_schema.run import ProgressEvent
from fettle_schema.vocabulary import Stage

LOADING_INTERVAL_SECONDS = 2.0


class ProgressLog:
    """Appends events; each is one write, so that a reader never sees half of two lines."""

    def __init__(self, path: Path, attempt: int) -> None:
        self._path = path
        self._attempt = attempt
        self.warnings: list[str] = []
        self.stage: Stage | None = None
        self._listeners: list[Callable[[ProgressEvent], None]] = []

    def subscribe(self, listener: Callable[[ProgressEvent], None]) -> None:
        """Give every further event to `listener`, in the thread that reports it: it must be quick and raise nothing."""
        self._listeners.append(listener)

    def write(self, **fields: Any) -> None:
        """Append a ProgressEvent with these fields; the time, the attempt and the stage are added."""
        fields.setdefault("stage", self.stage)
        event = ProgressEvent(time=datetime.now(UTC), attempt=self._attempt, **fields)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(event.model_dump_json(by_alias=True, exclude_none=True) + "\n")
        for listener in self._listeners:
            listener(event)

    def enter(self, stage: Stage, **fields: Any) -> None:
        """Report that the run has come to `stage`; does nothing if it is there already."""
        if stage is not self.stage:
            self.stage = stage
            self.write(kind="stage", **fields)
            print(f"stage: {stage}", flush=True)

    def warn(self, message: str) -> None:
        """Report something that a person should know, and keep it for the result."""
        self.warnings.append(message)
        self.write(kind="warning", message=message)
        print(f"warning: {message}", flush=True)


@contextmanager
def loading(progress: ProgressLog, loaded_bytes: Callable[[], int]) -> Iterator[None]:
    """Report `loaded_bytes` while the body runs, whenever it has grown: what stall detection sees before training."""
    done = threading.Event()

    def watch() -> None:
        most = 0
        while not done.wait(LOADING_INTERVAL_SECONDS):
            now = loaded_bytes()
            if now > most:
                most = now
                progress.write(kind="stage", loaded_bytes=now)

    thread = threading.Thread(target=watch, name="loading", daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
