"""Files of a published model or adapter: which belong to it, their digests and their content. Every file is hostile."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fettle_api.errors import BodyError, FileMissingError
from fettle_api.files.workspace import Workspace
from fettle_api.resources.models import JobView
from fettle_api.web.body import parse_json
from fettle_schema.layout import MODELS, RESULT_FILE, attempt_directory
from fettle_schema.run import RunResult

_CHUNK_BYTES = 1024 * 1024
_MAX_JSON_BYTES = 16 * 1024 * 1024
_OWN_FILES = frozenset({"fettle.json"})


@dataclass(frozen=True)
class ModelFile:
    """One file of a model."""

    name: str
    path: str
    """Inside the workspace."""
    content: bytes | None = None
    """What is sent instead of the file there."""


@dataclass(frozen=True)
class Measured:
    """A file as it was read."""

    digest: str
    """`sha256:<hex>`."""
    size_bytes: int


class ModelFiles:
    """Reads only."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def of_model(self, path: str) -> list[ModelFile]:
        """Weights, configuration and tokenizer of a model directory; empty if there are no such weights."""
        try:
            names = [file.name for file in await asyncio.to_thread(self._workspace.list_files, path)]
        except FileMissingError:
            return []
        kept = [
            name
            for name in names
            if (name.endswith((".safetensors", ".json")) or name == "tokenizer.model") and name not in _OWN_FILES
        ]
        is_model = "config.json" in kept and any(name.endswith(".safetensors") for name in kept)
        return [ModelFile(name, f"{path}/{name}") for name in kept] if is_model else []

    async def named(self, path: str, names: Iterable[str]) -> list[ModelFile]:
        """Files of a directory by name. Raises FileMissingError."""
        files = [ModelFile(name, f"{path}/{name}") for name in names]
        for file in files:
            if not await asyncio.to_thread(self._workspace.exists, file.path):
                raise FileMissingError(f"{file.path!r} is gone")
        return files

    async def measure(self, file: ModelFile) -> Measured:
        """Raises FileMissingError."""
        return await asyncio.to_thread(self._measure, file)

    async def read(self, file: ModelFile) -> AsyncIterator[bytes]:
        """The content, piece by piece. Raises FileMissingError."""
        if file.content is not None:
            yield file.content
            return
        opened = await asyncio.to_thread(self._workspace.open_file, file.path)
        try:
            position = 0
            while position < opened.size_bytes:
                wanted = min(_CHUNK_BYTES, opened.size_bytes - position)
                chunk = await asyncio.to_thread(os.pread, opened.descriptor, wanted, position)
                if not chunk:
                    raise FileMissingError(f"{file.path!r} became shorter while it was read")
                position += len(chunk)
                yield chunk
        finally:
            os.close(opened.descriptor)

    async def read_json(self, path: str, name: str) -> dict[str, Any]:
        """A small JSON object of a directory; empty if it is missing or something else."""
        try:
            content = await asyncio.to_thread(self._workspace.read_file, f"{path}/{name}", _MAX_JSON_BYTES)
            value = parse_json(content)
        except (FileMissingError, BodyError):
            return {}
        return value if isinstance(value, dict) else {}

    async def chat_template(self, path: str) -> str | None:
        """The template that a directory's tokenizer brings."""
        try:
            content = await asyncio.to_thread(self._workspace.read_file, f"{path}/chat_template.jinja", _MAX_JSON_BYTES)
            return content.decode("utf-8", "replace")
        except FileMissingError:
            found = (await self.read_json(path, "tokenizer_config.json")).get("chat_template")
        return found if isinstance(found, str) else None

    async def merged_output(self, job: JobView) -> str | None:
        """Where the job published its merged model beside the adapter, if it was asked to."""
        attempt = job.status.attempts.current if job.status.attempts else 1
        path = f"{attempt_directory(job.name, job.uid, attempt)}/{RESULT_FILE}"
        try:
            content = await asyncio.to_thread(self._workspace.read_file, path, _MAX_JSON_BYTES)
            output = RunResult.model_validate_json(content).merged_output
        except (FileMissingError, ValidationError):
            return None
        return output.path if output is not None and output.path.startswith(f"{MODELS}/") else None

    def _measure(self, file: ModelFile) -> Measured:
        digest = hashlib.sha256(file.content or b"")
        if file.content is not None:
            return Measured(f"sha256:{digest.hexdigest()}", len(file.content))
        opened = self._workspace.open_file(file.path)
        with os.fdopen(opened.descriptor, "rb") as content:
            while chunk := content.read(_CHUNK_BYTES):
                digest.update(chunk)
        return Measured(f"sha256:{digest.hexdigest()}", opened.size_bytes)
