"""The end of a job's `metrics.jsonl`, read piece by piece as the trainer writes it. Gives each line once. Blocks."""

import os

from pydantic import ValidationError

from fettle_api.errors import FileMissingError
from fettle_api.files.workspace import OpenFile, Workspace
from fettle_schema.layout import METRICS_FILE
from fettle_schema.names import job_directory
from fettle_schema.run import ProgressEvent

_PIECE_BYTES = 1024 * 1024
"""Most that is read at once; a line that is longer is no report."""
_LAST_BYTES = 16 * 1024
"""Enough for the newest value of everything that is reported."""


class SeriesTail:
    """One job's reports from now on."""

    def __init__(self, workspace: Workspace, job_name: str, uid: str) -> None:
        self._workspace, self._path = workspace, f"{job_directory(job_name, uid)}/{METRICS_FILE}"
        self._offset = 0
        self.has_file = False
        """Whether there was a file at the last read: an image that brings its own trainer writes none."""

    def skip(self) -> list[ProgressEvent]:
        """Go to the end; the last reports of what is skipped, oldest first."""
        file = self._open()
        if file is None:
            return []
        try:
            start = max(0, file.size_bytes - _LAST_BYTES)
            piece = os.pread(file.descriptor, file.size_bytes - start, start)
        finally:
            os.close(file.descriptor)
        whole = piece[: piece.rfind(b"\n") + 1]
        self._offset = start + len(whole) if whole else file.size_bytes
        return _events(whole)

    def read_new(self) -> list[ProgressEvent]:
        """Reports that were completed since the last call."""
        file = self._open()
        if file is None:
            return []
        try:
            if file.size_bytes < self._offset:  # somebody has cut it: nothing may come twice
                self._offset = file.size_bytes
            piece = os.pread(file.descriptor, _PIECE_BYTES, self._offset)
        finally:
            os.close(file.descriptor)
        whole = piece[: piece.rfind(b"\n") + 1]
        self._offset += len(piece) if len(piece) == _PIECE_BYTES and not whole else len(whole)
        return _events(whole)

    def _open(self) -> OpenFile | None:
        try:
            file = self._workspace.open_file(self._path)
        except FileMissingError:
            self.has_file = False
            return None
        self.has_file = True
        return file


def _events(text: bytes) -> list[ProgressEvent]:
    return [event for line in text.splitlines() if (event := _event(line)) is not None]


def _event(line: bytes) -> ProgressEvent | None:
    try:
        event = ProgressEvent.model_validate_json(line)
    except ValidationError:
        return None
    return event if event.time.tzinfo is not None else None
