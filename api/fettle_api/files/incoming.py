"""A file on its way into the workspace: written piece by piece to a staging directory, measured on the way.

It is no dataset and no upload yet: whoever holds it publishes or discards it.
"""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import PurePosixPath

from fettle_api.errors import BodyError, DatasetRefusedError
from fettle_api.files.writer import Staging, WorkspaceWriter, close_synced, write_all
from fettle_data.locate import EXTENSIONS

_BUFFER_BYTES = 1024 * 1024
_LINES = (".jsonl", ".ndjson", ".txt")
_MAX_FILE_NAME = 255


class IncomingFile:
    """A `FileSink`; of the attributes all but `staging` are final once `finish` has returned."""

    def __init__(self, staging: Staging) -> None:
        self.staging = staging
        self.file_name = ""
        """As the caller named it, without directories."""
        self.stored_name = ""
        """`data<suffix>`."""
        self.size_bytes = 0
        self.line_count: int | None = None
        """Lines that are not blank, for formats of which each is a row."""
        self._digest = hashlib.sha256()
        self._lines = _LineCounter()
        self._buffer = bytearray()
        self._descriptor: int | None = None
        self._writing: asyncio.Future[None] | None = None

    @property
    def sha256(self) -> bytes:
        """Of the content."""
        return self._digest.digest()

    @property
    def received_bytes(self) -> int:
        """So far."""
        return self.size_bytes + len(self._buffer)

    async def open(self, file_name: str) -> None:
        """Raises DatasetRefusedError for a kind of file that no job can read."""
        self.file_name = PurePosixPath(file_name.replace("\\", "/")).name[-_MAX_FILE_NAME:]
        suffix = PurePosixPath(self.file_name).suffix.lower() or ".jsonl"
        if suffix not in EXTENSIONS:
            allowed = ", ".join(EXTENSIONS)
            raise DatasetRefusedError(f"files of type {suffix[:16]!r} cannot be read; allowed are {allowed}")
        self.stored_name = f"data{suffix}"
        self._descriptor = await asyncio.to_thread(self.staging.create, self.stored_name)

    async def write(self, content: bytes) -> None:
        """Raises StorageFullError."""
        self._buffer += content
        if len(self._buffer) >= _BUFFER_BYTES:
            await self._flush()

    async def finish(self) -> None:
        """All was written: flush to disk. Raises BodyError if there is no content."""
        await self._flush()
        if self._descriptor is None or self.size_bytes == 0:
            raise BodyError("the file is missing or empty")
        descriptor, self._descriptor = self._descriptor, None
        await asyncio.to_thread(close_synced, descriptor)
        if self.stored_name.endswith(_LINES):
            self.line_count = self._lines.count()

    async def discard(self) -> None:
        """Remove what was not published."""
        if self._writing is not None:
            await asyncio.wait(
                {self._writing}
            )  # the thread must not write to a descriptor that is somebody else's by now
        if self._descriptor is not None:
            descriptor, self._descriptor = self._descriptor, None
            await asyncio.to_thread(os.close, descriptor)
        await asyncio.to_thread(self.staging.discard)

    async def _flush(self) -> None:
        content, self._buffer = bytes(self._buffer), bytearray()
        if content and self._descriptor is not None:
            self._writing = asyncio.ensure_future(asyncio.to_thread(self._store, self._descriptor, content))
            await asyncio.shield(self._writing)

    def _store(self, descriptor: int, content: bytes) -> None:
        write_all(descriptor, content)
        self._digest.update(content)
        self._lines.add(content)
        self.size_bytes += len(content)


@asynccontextmanager
async def incoming_file(writer: WorkspaceWriter, directory: str) -> AsyncIterator[IncomingFile]:
    """A file that is staged in `directory`; what is not published within the block is removed."""
    staging = await asyncio.to_thread(writer.stage, directory)
    incoming = IncomingFile(staging)
    try:
        yield incoming
    finally:
        await asyncio.shield(incoming.discard())


class _LineCounter:
    """Counts lines that hold more than white space, whatever the pieces are."""

    def __init__(self) -> None:
        self._total = 0
        self._rest_has_text = False

    def add(self, content: bytes) -> None:
        *lines, rest = content.split(b"\n")
        for line in lines:
            self._total += self._rest_has_text or bool(line.strip())
            self._rest_has_text = False
        self._rest_has_text = self._rest_has_text or bool(rest.strip())

    def count(self) -> int:
        return self._total + self._rest_has_text
