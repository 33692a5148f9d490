"""Use cases of saved configurations: what somebody wants to train with again. Knows nothing of their content.

Each is one document. Its name is free: what is no name of a file is cleaned and gets six digits of its digest, so that
the same name always finds the same document. Secrets are not kept.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any

from fettle_api.errors import BodyError, DocumentNotFoundError, FileMissingError, FileNameError
from fettle_api.files.documents import MAX_DOCUMENT_BYTES, Documents, is_document_name
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.web.body import parse_json
from fettle_schema.base import WORKSPACE_PATH_PATTERN
from fettle_schema.layout import CONFIGURATIONS

_SECRETS = frozenset({"hf_token", "wandb_key"})
_EXPORTS = f"{CONFIGURATIONS}/exports"
_MAX_NAME = 128


@dataclass(frozen=True)
class Configuration:
    """A saved configuration."""

    name: str
    """As somebody wrote it."""
    file_name: str
    """Without suffix."""
    path: str
    """Inside the workspace."""
    content: Mapping[str, Any]
    description: str
    tags: tuple[str, ...]
    created_at: datetime
    modified_at: datetime


class Configurations:
    """Below `configs/`."""

    def __init__(self, workspace: Workspace, writer: WorkspaceWriter, root: str, clock: Callable[[], datetime]) -> None:
        self._workspace, self._writer, self._root, self._clock = workspace, writer, root.rstrip("/"), clock
        self._documents = Documents(workspace, writer, CONFIGURATIONS)

    async def save(
        self, name: str, content: Mapping[str, Any], description: str = "", tags: Sequence[str] = ()
    ) -> Configuration:
        """Write it, or write over it; the time of its creation stays.

        Raises FileNameError for a name of which nothing is left, BodyError if it is too large, StorageFullError.
        """
        file_name = file_name_of(name)
        now = self._clock()
        try:
            created_at = (await self.get(name)).created_at
        except DocumentNotFoundError:
            created_at = now
        document = {
            "name": name.strip(),
            "description": description,
            "tags": list(tags),
            "created_at": created_at.isoformat(),
            "modified_at": now.isoformat(),
            "config": without_secrets(content),
        }
        await self._documents.put(file_name, document, replace=True)
        return _configuration(file_name, document)

    async def all(self, tag: str | None = None) -> list[Configuration]:
        """All of them, or those with a tag; what was saved last comes first."""
        documents = await self._documents.all()
        found = [_configuration(file_name, document) for file_name, document in documents.items()]
        chosen = [one for one in found if tag is None or tag in one.tags]
        return sorted(chosen, key=lambda one: (one.modified_at, one.file_name), reverse=True)

    async def get(self, name: str) -> Configuration:
        """Raises DocumentNotFoundError."""
        file_name = _find(name)
        return _configuration(file_name, await self._documents.get(file_name))

    async def delete(self, name: str) -> None:
        """Raises DocumentNotFoundError."""
        await self._documents.delete(_find(name))

    async def export(self, name: str, path: str) -> str:
        """Write its content to a file below `configs/`, and say where. A name alone means `configs/exports/`.

        Raises DocumentNotFoundError, FileNameError for a path elsewhere, NameTakenError, StorageFullError.
        """
        configuration = await self.get(name)
        inside = self._inside(path)
        target = inside if inside.startswith(f"{CONFIGURATIONS}/") else f"{_EXPORTS}/{inside}"
        if not re.fullmatch(WORKSPACE_PATH_PATTERN, target) or len(target) > 512:
            raise FileNameError(f"{path[:80]!r} is no path inside the workspace")
        content = json.dumps(dict(configuration.content), ensure_ascii=False, indent=2).encode()
        is_ours = target.startswith(f"{_EXPORTS}/")
        await asyncio.to_thread(self._writer.write_file, target, content, is_ours)
        return target

    async def load(self, path: str, name: str | None) -> Configuration:
        """Save the content of a file below `configs/`; its name without suffix stands in for a name.

        Raises FileMissingError, also for a path elsewhere, BodyError for a file that is no object, and as `save`.
        """
        try:
            inside = self._inside(path)
        except FileNameError as error:
            raise FileMissingError(f"{path[:80]!r} is not in the workspace") from error
        source = inside if inside.startswith(f"{CONFIGURATIONS}/") else f"{_EXPORTS}/{inside}"
        content = parse_json(await asyncio.to_thread(self._workspace.read_file, source, MAX_DOCUMENT_BYTES))
        if not isinstance(content, dict):
            raise BodyError("the file holds no JSON object")
        wrapped = content.get("config")
        body = wrapped if isinstance(wrapped, dict) and "modified_at" in content else content
        description = f"Imported from {PurePosixPath(inside).name}"
        return await self.save(name or PurePosixPath(inside).stem, body, description)

    def _inside(self, path: str) -> str:
        """A path as it is inside the workspace. Raises FileNameError for one that is not."""
        inside = path.removeprefix(f"{self._root}/")
        if inside.startswith("/") or ".." in inside.split("/") or "\0" in inside:
            raise FileNameError(f"{path[:80]!r} is not in the workspace")
        return inside.removeprefix("./")


def file_name_of(name: str) -> str:
    """The document of a free name. Raises FileNameError for one of which nothing is left."""
    wanted = name.strip()
    if is_document_name(wanted):
        return wanted
    if not wanted.strip(". /\\\0"):
        raise FileNameError("a configuration needs a name")
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "-", wanted).strip("-_")
    digest = hashlib.sha256(wanted.encode()).hexdigest()[:6]
    return f"{cleaned[: _MAX_NAME - 16] or 'config'}-{digest}"


def without_secrets(value: Any) -> Any:
    """The same value without the secrets that a request may hold, however deep."""
    if isinstance(value, list):
        return [without_secrets(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {key: without_secrets(item) for key, item in value.items() if key not in _SECRETS or not item}


def _find(name: str) -> str:
    try:
        return file_name_of(name)
    except FileNameError as error:
        raise DocumentNotFoundError(f"{name[:64]!r} not found") from error


def _configuration(file_name: str, document: Mapping[str, Any]) -> Configuration:
    """What a file says; one that somebody put there without our fields is a configuration as it stands."""
    content = document.get("config")
    is_ours = isinstance(content, dict) and "modified_at" in document
    tags = document.get("tags") if is_ours else None
    created_at = _time(document.get("created_at"))
    return Configuration(
        name=str(document.get("name") or file_name) if is_ours else file_name,
        file_name=file_name,
        path=f"{CONFIGURATIONS}/{file_name}.json",
        content=content if is_ours and isinstance(content, dict) else document,
        description=str(document.get("description") or "") if is_ours else "",
        tags=tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else (),
        created_at=created_at,
        modified_at=max(created_at, _time(document.get("modified_at"))),
    )


def _time(text: object) -> datetime:
    try:
        value = datetime.fromisoformat(str(text))
    except ValueError:
        return datetime(1970, 1, 1, tzinfo=UTC)
    return value if value.tzinfo else value.replace(tzinfo=UTC)
