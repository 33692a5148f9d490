"""New datasets and new versions of datasets: staged, described, and published as the next free version."""

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any

from fettle_api.datasets.catalog import Catalog, is_dataset_name
from fettle_api.errors import DatasetNotFoundError, DatasetRefusedError, FileMissingError, NameTakenError
from fettle_api.files.incoming import IncomingFile
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import Staging, WorkspaceWriter, close_synced, write_all
from fettle_schema.dataset import DatasetSource
from fettle_schema.layout import DATASETS
from fettle_schema.stored_dataset import (
    DESCRIPTION_FILE,
    DatasetDescription,
    content_digest,
    dataset_directory,
    dataset_name,
    next_version,
)

_MAX_TRIES = 100
_MAX_TITLE = 253
_MAX_DESCRIPTION = 4096
_BLOCK_BYTES = 1024 * 1024
_ROWS_FILE = "data.jsonl"


class Additions:
    """Writes below `datasets/`."""

    def __init__(
        self, workspace: Workspace, writer: WorkspaceWriter, catalog: Catalog, clock: Callable[[], datetime]
    ) -> None:
        self._workspace, self._writer, self._catalog, self._clock = workspace, writer, catalog, clock

    async def publish(
        self, incoming: IncomingFile, name: str, description: str, origin: str | None = None
    ) -> tuple[str, str]:
        """A file that has arrived. Raises BodyError, DatasetRefusedError, NameTakenError, StorageFullError."""
        await incoming.finish()
        described = self._describe(name, description).model_copy(
            update={
                "digest": content_digest([(incoming.stored_name, incoming.sha256)]),
                "file_name": incoming.file_name,
                "origin": origin,
                "size_bytes": incoming.size_bytes,
                "example_count": incoming.line_count,
            }
        )
        return await asyncio.to_thread(self._publish, incoming.staging, described)

    async def write_rows(self, name: str, rows: Iterable[Mapping[str, Any]], description: str) -> tuple[str, str]:
        """Rows as they are, one JSON object a line. Raises as `publish`."""
        return await asyncio.to_thread(self._write_rows, self._describe(name, description), rows)

    def register(self, name: str, source: DatasetSource, description: str) -> str:
        """Say where rows are, and copy nothing; the same again is no error. Raises NameTakenError, StorageFullError."""
        described = self._describe(name, description).model_copy(update={"source": source})
        path = dataset_directory(described.name)
        try:
            known = self._catalog.get(described.name)
        except DatasetNotFoundError:
            known = None
        if known is not None:
            if known.source == source:
                return known.name
            raise NameTakenError(f"there is a dataset {described.name!r} already; choose another name")
        self._writer.write_file(f"{path}/{DESCRIPTION_FILE}", _json(described))
        return described.name

    def note_count(self, name: str, version: str, count: int) -> None:
        """Rows of a version, counted after it was published. Blocks. Raises DatasetNotFoundError, StorageFullError."""
        known = next((one for one in self._catalog.get(name).versions if one.name == version), None)
        if known is None or known.description is None:
            raise DatasetNotFoundError(f"{name}/{version}")
        described = known.description.model_copy(update={"example_count": count})
        path = f"{dataset_directory(name, version)}/{DESCRIPTION_FILE}"
        self._writer.write_file(path, _json(described), replace=True)

    def _describe(self, name: str, description: str) -> DatasetDescription:
        title, words = name.strip(), description.strip()
        if not title or len(title) > _MAX_TITLE or "\0" in title:
            raise DatasetRefusedError(f"name must have 1 to {_MAX_TITLE} characters")
        if len(words) > _MAX_DESCRIPTION or "\0" in words:
            raise DatasetRefusedError(f"description must have at most {_MAX_DESCRIPTION} characters")
        directory = dataset_name(title)
        return DatasetDescription(
            name=directory,
            title=title if title != directory else None,
            description=words or None,
            created_at=self._clock(),
        )

    def _write_rows(self, described: DatasetDescription, rows: Iterable[Mapping[str, Any]]) -> tuple[str, str]:
        staging = self._writer.stage(DATASETS)
        try:
            size_bytes, count, sha256 = _write_lines(staging, rows)
            if not count:
                raise DatasetRefusedError("a dataset needs at least one example")
            changes = {
                "digest": content_digest([(_ROWS_FILE, sha256)]),
                "size_bytes": size_bytes,
                "example_count": count,
            }
            return self._publish(staging, described.model_copy(update=changes))
        finally:
            staging.discard()

    def _publish(self, staging: Staging, described: DatasetDescription) -> tuple[str, str]:
        """The next version that is free; several at once each get their own."""
        path = dataset_directory(described.name)
        if self._catalog.registered(described.name) is not None:
            raise NameTakenError(f"dataset {described.name!r} is registered; choose another name")
        staging.add_file(DESCRIPTION_FILE, _json(described))
        for _ in range(_MAX_TRIES):
            version = next_version(self._entries(path))
            try:
                staging.publish(f"{path}/{version}")
            except NameTakenError:
                continue
            return described.name, version
        raise NameTakenError(f"dataset {described.name!r} cannot get another version; choose another name")

    def _entries(self, path: str) -> list[str]:
        try:
            return [name for name in self._workspace.list_names(path) if is_dataset_name(name)]
        except FileMissingError:
            return []


def _write_lines(staging: Staging, rows: Iterable[Mapping[str, Any]]) -> tuple[int, int, bytes]:
    digest, block, size_bytes, count = hashlib.sha256(), bytearray(), 0, 0
    descriptor = staging.create(_ROWS_FILE)
    try:
        for row in rows:
            block += json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
            count += 1
            if len(block) >= _BLOCK_BYTES:
                write_all(descriptor, bytes(block))
                digest.update(block)
                size_bytes += len(block)
                block.clear()
        write_all(descriptor, bytes(block))
        digest.update(block)
    finally:
        close_synced(descriptor)
    return size_bytes + len(block), count, digest.digest()


def _json(described: DatasetDescription) -> bytes:
    return (json.dumps(described.manifest(), ensure_ascii=False) + "\n").encode()
