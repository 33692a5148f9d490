"""Output of the training process to `log.txt`, with times, and to our own stdout. Standard library only."""

import contextlib
import threading
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from fettle_trainer.failures import is_disk_full

KEPT_LINES = 20
_MAX_LINE_BYTES = 64 * 1024


class LogTee:
    """Each line becomes `2026-01-01T12:00:00.123Z text`. A full disk is noted and never stops the reading."""

    def __init__(self, path: Path, stdout: IO[str]) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._stdout = stdout
        self._lock = threading.Lock()
        self._kept: deque[str] = deque(maxlen=KEPT_LINES)
        self._thread: threading.Thread | None = None
        self.is_disk_full = False

    def follow(self, output: IO[bytes]) -> None:
        """Copy `output` in a thread until it ends."""
        self._thread = threading.Thread(target=self._copy, args=(output,), name="log", daemon=True)
        self._thread.start()

    def say(self, text: str) -> None:
        """A line of the supervisor's own."""
        self._write(f"fettle: {text}", keep=False)

    def last_lines(self) -> list[str]:
        """The newest lines of the training process."""
        with self._lock:
            return list(self._kept)

    def drain(self, wait_seconds: float) -> None:
        """Wait for the output to end, but not for a process that keeps it open for ever."""
        if self._thread is not None:
            self._thread.join(wait_seconds)
            self._thread = None

    def close(self, wait_seconds: float) -> None:
        """The same, and end the log."""
        self.drain(wait_seconds)
        with self._lock, contextlib.suppress(OSError):  # what a full disk refused before, it refuses again
            self._file.close()

    def _copy(self, output: IO[bytes]) -> None:
        while line := output.readline(_MAX_LINE_BYTES):
            # What a progress bar overwrote on the terminal is not worth keeping.
            self._write(line.decode(errors="replace").rstrip("\r\n").rpartition("\r")[2], keep=True)

    def _write(self, text: str, *, keep: bool) -> None:
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        with self._lock:
            if keep:
                self._kept.append(text)
            self._write_to(self._file, f"{time} {text}\n")
            self._write_to(self._stdout, f"{text}\n")

    def _write_to(self, file: IO[str], line: str) -> None:
        try:
            file.write(line)
            file.flush()
        except (OSError, ValueError) as error:  # ValueError: closed, by a process that outlived the run
            if file is self._file and is_disk_full(error):
                self.is_disk_full = True
