"""Small JSON documents with names, in one directory of the workspace: templates, configurations. Knows no content."""

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Any

from fettle_api.errors import BodyError, DocumentNotFoundError, FileMissingError
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.web.body import parse_json

MAX_DOCUMENT_BYTES = 1024 * 1024
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,127}")
_SUFFIX = ".json"


class Documents:
    """`<directory>/<name>.json`. A file that cannot be read as an object counts as absent."""

    def __init__(self, workspace: Workspace, writer: WorkspaceWriter, directory: str) -> None:
        self._workspace, self._writer, self._directory = workspace, writer, directory

    async def all(self) -> dict[str, dict[str, Any]]:
        """All documents by name."""
        return await asyncio.to_thread(self._all)

    async def get(self, name: str) -> dict[str, Any]:
        """Raises DocumentNotFoundError."""
        return await asyncio.to_thread(self._read, name)

    async def put(self, name: str, document: Mapping[str, Any], replace: bool = False) -> None:
        """Write it whole. Raises NameTakenError unless it may be replaced, BodyError, StorageFullError."""
        content = json.dumps(document, ensure_ascii=False, indent=2).encode()
        if not is_document_name(name) or len(content) > MAX_DOCUMENT_BYTES:
            raise BodyError(f"{name[:64]!r} is no name of a document, or it has more than {MAX_DOCUMENT_BYTES} bytes")
        await asyncio.to_thread(self._writer.write_file, self._path(name), content, replace)

    async def delete(self, name: str) -> None:
        """Raises DocumentNotFoundError."""
        if not is_document_name(name):
            raise DocumentNotFoundError(f"{name[:64]!r} not found")
        try:
            await asyncio.to_thread(self._writer.remove_file, self._path(name))
        except FileMissingError as error:
            raise DocumentNotFoundError(f"{name!r} not found") from error

    def _all(self) -> dict[str, dict[str, Any]]:
        try:
            files = self._workspace.list_files(self._directory)
        except FileMissingError:
            return {}
        found = {}
        for file in files:
            name = file.name.removesuffix(_SUFFIX)
            if file.name.endswith(_SUFFIX) and is_document_name(name):
                try:
                    found[name] = self._read(name)
                except DocumentNotFoundError:
                    continue
        return found

    def _read(self, name: str) -> dict[str, Any]:
        if not is_document_name(name):
            raise DocumentNotFoundError(f"{name[:64]!r} not found")
        try:
            document = parse_json(self._workspace.read_file(self._path(name), MAX_DOCUMENT_BYTES))
        except (FileMissingError, BodyError) as error:
            raise DocumentNotFoundError(f"{name!r} not found") from error
        if not isinstance(document, dict):
            raise DocumentNotFoundError(f"{name!r} not found")
        return document

    def _path(self, name: str) -> str:
        return f"{self._directory}/{name}{_SUFFIX}"


def is_document_name(name: str) -> bool:
    """Letters, digits, `_` and `-`: whoever takes free names cleans them first."""
    return _NAME.fullmatch(name) is not None
