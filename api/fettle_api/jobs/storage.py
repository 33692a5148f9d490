"""The directories of jobs: what they hold, in bytes and logged reports, and the end of those whose job was deleted.

Counted anew when asked for, but not twice at once; a file of reports is read again only where it has grown.
"""

import asyncio
import os
import re
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from fettle_api.errors import FileMissingError
from fettle_api.files.workspace import DIRECTORY_FLAGS, Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.resources.models import JobView
from fettle_schema.layout import JOBS, METRICS_FILE
from fettle_schema.names import job_directory

_FRESH_SECONDS = 0.5
_SHARE = 20
"""Counting takes at most one twentieth of the time, however many files there are."""
_BLOCK_BYTES = 1024 * 1024
_STEP = re.compile(rb'"kind"\s*:\s*"step"')
_MAX_DEPTH = 16


@dataclass(frozen=True)
class JobUsage:
    """All jobs together."""

    size_bytes: int
    report_count: int
    """Logged steps."""


class JobStorage:
    """Directories below `jobs/`."""

    def __init__(
        self, workspace: Workspace, writer: WorkspaceWriter, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._workspace, self._writer, self._monotonic = workspace, writer, monotonic
        self._turn = asyncio.Lock()
        self._usage = JobUsage(0, 0)
        self._counted_at, self._seconds = float("-inf"), 0.0
        self._counts: dict[str, tuple[int, int]] = {}
        """File of reports → bytes read, reports in them."""

    async def usage(self) -> JobUsage:
        """As it is now, or was a moment ago."""
        async with self._turn:
            begin = self._monotonic()
            if begin - self._counted_at > max(_FRESH_SECONDS, _SHARE * self._seconds):
                self._usage = await asyncio.to_thread(self._count)
                self._counted_at = self._monotonic()
                self._seconds = self._counted_at - begin
            return self._usage

    async def remove(self, job: JobView) -> None:
        """Remove log, metrics and checkpoints of a deleted job; of one that had not ended a trainer may still write."""
        if job.is_finished:
            with suppress(FileMissingError):
                await asyncio.to_thread(self._writer.remove_directory, job_directory(job.name, job.uid))

    def _count(self) -> JobUsage:
        try:
            names = self._workspace.list_directories(JOBS)
        except FileMissingError:
            names = []
        size_bytes = 0
        for name in names:
            try:
                with self._workspace.directory(f"{JOBS}/{name}") as descriptor:
                    size_bytes += _size_of(descriptor, _MAX_DEPTH)
            except (FileMissingError, OSError):
                continue  # it went while it was counted
        paths = {f"{JOBS}/{name}/{METRICS_FILE}" for name in names}
        self._counts = {path: count for path in paths if (count := self._reports(path)) is not None}
        return JobUsage(size_bytes, sum(count for _, count in self._counts.values()))

    def _reports(self, path: str) -> tuple[int, int] | None:
        try:
            file = self._workspace.open_file(path)
        except FileMissingError:
            return None
        position, count = self._counts.get(path, (0, 0))
        if file.size_bytes < position:
            position, count = 0, 0
        try:
            while position < file.size_bytes and (block := os.pread(file.descriptor, _BLOCK_BYTES, position)):
                whole = block[: block.rfind(b"\n") + 1] or (block if len(block) == _BLOCK_BYTES else b"")
                if not whole:
                    break
                position += len(whole)
                count += len(_STEP.findall(whole))
        finally:
            os.close(file.descriptor)
        return position, count


def _size_of(directory: int, depth: int) -> int:
    """Bytes of all files below an open directory; links are not followed."""
    size_bytes = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                size_bytes += status.st_size
            elif stat.S_ISDIR(status.st_mode) and depth > 0:
                below = os.open(entry.name, DIRECTORY_FLAGS, dir_fd=directory)
                try:
                    size_bytes += _size_of(below, depth - 1)
                finally:
                    os.close(below)
    return size_bytes
