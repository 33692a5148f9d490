"""Files that somebody uploaded and nobody named: `uploads/<id>/data.<suffix>` beside `upload.json`, the file's record.

For APIs that give a file an id of its own and refer to it by that. What a record holds is theirs to say, but for
`expires_at` (epoch seconds): from then on the file is gone, and is removed when somebody looks or within the hour.
"""

import asyncio
import json
import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fettle_api.errors import BodyError, DatasetNotFoundError, FileMissingError
from fettle_api.files.incoming import IncomingFile, incoming_file
from fettle_api.files.workspace import OpenFile, Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.resources.models import FileEntry
from fettle_api.web.body import parse_json
from fettle_schema.errors import FettleError
from fettle_schema.layout import UPLOADS

_RECORD_FILE = "upload.json"
_MAX_RECORD_BYTES = 64 * 1024
_MAX_ROW_BYTES = 1024 * 1024
SWEEP_SECONDS = 3600.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")


_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class UploadView:
    """One uploaded file."""

    id: str
    path: str
    """Directory inside the workspace: what a job reads."""
    file: FileEntry
    created_at: datetime
    record: Mapping[str, Any]
    """As the dialect wrote it; empty if somebody has broken it."""


class Uploads:
    """Files below `uploads/`."""

    def __init__(
        self,
        workspace: Workspace,
        writer: WorkspaceWriter,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._workspace, self._writer, self._clock = workspace, writer, clock

    def receive(self) -> AbstractAsyncContextManager[IncomingFile]:
        """A place for a file that arrives; what is not published within the block is removed."""
        return incoming_file(self._writer, UPLOADS)

    async def publish(self, incoming: IncomingFile, upload_id: str, record: Mapping[str, Any]) -> UploadView:
        """Keep it. Raises BodyError, NameTakenError, StorageFullError."""
        await incoming.finish()
        content = json.dumps(record, ensure_ascii=False).encode()
        if not _ID.fullmatch(upload_id) or len(content) > _MAX_RECORD_BYTES:
            raise BodyError(f"{upload_id[:64]!r} is no id of an upload, or its record is too large")
        await asyncio.to_thread(incoming.staging.add_file, _RECORD_FILE, content)
        await asyncio.to_thread(incoming.staging.publish, f"{UPLOADS}/{upload_id}")
        return await self.get(upload_id)

    async def all(self) -> list[UploadView]:
        """All of them, the newest first."""
        return await asyncio.to_thread(self._all)

    async def get(self, upload_id: str) -> UploadView:
        """Raises DatasetNotFoundError."""
        return await asyncio.to_thread(self._get, upload_id)

    async def open(self, upload_id: str) -> OpenFile:
        """Its content; whoever gets it closes it. Raises DatasetNotFoundError."""
        upload = await self.get(upload_id)
        try:
            return await asyncio.to_thread(self._workspace.open_file, f"{upload.path}/{upload.file.name}")
        except FileMissingError as error:
            raise DatasetNotFoundError(upload_id) from error

    async def first_row(self, upload_id: str) -> Mapping[str, Any]:
        """The first row of a file of lines; empty if it holds no object. Raises DatasetNotFoundError."""
        file = await self.open(upload_id)
        try:
            piece = await asyncio.to_thread(os.pread, file.descriptor, _MAX_ROW_BYTES, 0)
        finally:
            os.close(file.descriptor)
        try:
            row = parse_json(piece.lstrip().partition(b"\n")[0])
        except BodyError:
            return {}
        return row if isinstance(row, dict) else {}

    async def delete(self, upload_id: str) -> None:
        """Raises DatasetNotFoundError."""
        upload = await self.get(upload_id)
        try:
            await asyncio.to_thread(self._writer.remove_directory, upload.path)
        except FileMissingError as error:
            raise DatasetNotFoundError(upload_id) from error

    async def sweep_periodically(self, pause_seconds: float = SWEEP_SECONDS) -> None:
        """Remove what has expired, again and again, until cancelled: disks fill up with files nobody asks for."""
        while True:
            try:
                await self.all()
            except (FettleError, OSError) as error:
                _logger.warning("expired uploads are not removed", extra={"error": type(error).__name__})
            await asyncio.sleep(pause_seconds)

    def _all(self) -> list[UploadView]:
        try:
            names = self._workspace.list_directories(UPLOADS)
        except FileMissingError:
            return []
        found = [upload for name in names if (upload := self._find(name)) is not None]
        return sorted(found, key=lambda upload: (upload.created_at, upload.id), reverse=True)

    def _get(self, upload_id: str) -> UploadView:
        found = self._find(upload_id)
        if found is None:
            raise DatasetNotFoundError(upload_id)
        return found

    def _find(self, upload_id: str) -> UploadView | None:
        if not _ID.fullmatch(upload_id):
            return None
        path = f"{UPLOADS}/{upload_id}"
        try:
            files = [file for file in self._workspace.list_files(path) if file.name.startswith("data.")]
            with self._workspace.directory(path) as descriptor:
                created_at = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)
        except FileMissingError:
            return None
        if not files:
            return None
        upload = UploadView(upload_id, path, files[0], created_at, self._record(path))
        if not self._is_expired(upload):
            return upload
        with suppress(FileMissingError):
            self._writer.remove_directory(path)
        return None

    def _is_expired(self, upload: UploadView) -> bool:
        expires_at = upload.record.get("expires_at")
        return isinstance(expires_at, int) and expires_at <= self._clock().timestamp()

    def _record(self, path: str) -> Mapping[str, Any]:
        try:
            record = parse_json(self._workspace.read_file(f"{path}/{_RECORD_FILE}", _MAX_RECORD_BYTES))
        except (FileMissingError, BodyError):
            return {}
        return record if isinstance(record, dict) else {}
