"""Base models that the workspace has: their configuration, their tokenizer, and how big a job on them is. Reads only.

A model lies below `models/`, or in the cache of the hub, whose files are links to blobs beside them; no other link is
followed. What the workspace does not have is looked up nowhere.
"""

import asyncio
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fettle_api.errors import BodyError, FileMissingError
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.resolution import resolve_model
from fettle_api.web.body import parse_json
from fettle_schema.errors import InvalidManifestError
from fettle_schema.estimate.known_models import known_config
from fettle_schema.layout import HUGGING_FACE_HOME, MODELS

_MAX_JSON_BYTES = 16 * 1024 * 1024
_MAX_TEMPLATE_BYTES = 1024 * 1024
_BLOB = re.compile(r"\.\./\.\./blobs/([0-9a-f]{40,64})")
_CACHED = re.compile(r"models--([A-Za-z0-9._-]+)")
_SIGNS_OF_TOKENIZER = ("tokenizer_config.json", "tokenizer.json")
_TOKENS = ("bos_token", "eos_token", "unk_token", "pad_token")


@dataclass(frozen=True)
class TokenizerView:
    """What a model's tokenizer says of itself."""

    vocabulary_size: int | None
    max_length: int | None
    chat_template: str | None
    special_tokens: Mapping[str, str]
    """Name → text, for example `eos_token`."""


class BaseModels:
    """Models by the names that requests have for them."""

    def __init__(self, workspace: Workspace, aliases: Mapping[str, str]) -> None:
        self._workspace, self._aliases = workspace, aliases

    def resolved_name(self, name: str) -> str:
        """Hub id or path of the model that a request names; the name itself where it is neither."""
        try:
            model = resolve_model(name, self._aliases, self._workspace.exists)
        except InvalidManifestError:
            return name
        return str(model.get("id") or model["path"])

    async def is_present(self, name: str) -> bool:
        """Whether the workspace has the model."""
        return await asyncio.to_thread(lambda: self._directory(name) is not None)

    async def config(self, name: str) -> Mapping[str, Any] | None:
        """The model's config.json, else what is known of a few public models; None for all others."""
        return await asyncio.to_thread(self._config, name)

    async def tokenizer(self, name: str) -> TokenizerView:
        """Raises FileMissingError where the workspace has no such tokenizer, BodyError where it cannot be read."""
        return await asyncio.to_thread(self._tokenizer, name)

    async def with_tokenizer(self) -> list[str]:
        """Names of all models whose tokenizer the workspace has: aliases, then directories, then the hub's cache."""
        return await asyncio.to_thread(self._with_tokenizer)

    def _config(self, name: str) -> Mapping[str, Any] | None:
        directory = self._directory(name)
        try:
            found = self._json(f"{directory}/config.json") if directory else None
        except BodyError:
            found = None
        return found or known_config(self._aliases.get(name, name).strip())

    def _tokenizer(self, name: str) -> TokenizerView:
        directory = self._directory(name)
        if directory is None:
            raise FileMissingError(f"model {name[:200]!r} is not in the workspace; put it below {MODELS}/")
        config = self._json(f"{directory}/tokenizer_config.json")
        declared = {**(self._json(f"{directory}/special_tokens_map.json") or {}), **(config or {})}
        if config is None and not self._has_tokenizer(directory):
            raise FileMissingError(f"model {name[:200]!r} has no tokenizer in the workspace")
        limit = declared.get("model_max_length")
        return TokenizerView(
            vocabulary_size=self._vocabulary_size(directory),
            max_length=int(limit) if isinstance(limit, int | float) and not isinstance(limit, bool) else None,
            chat_template=self._chat_template(directory, declared),
            special_tokens=_special_tokens(declared),
        )

    def _vocabulary_size(self, directory: str) -> int | None:
        config = self._json(f"{directory}/config.json") or {}
        text = config.get("text_config")
        size = config.get("vocab_size") or (text.get("vocab_size") if isinstance(text, dict) else None)
        if isinstance(size, int):
            return size
        vocabulary = ((self._json(f"{directory}/tokenizer.json") or {}).get("model") or {}).get("vocab")
        return len(vocabulary) if isinstance(vocabulary, dict | list) else None

    def _chat_template(self, directory: str, declared: Mapping[str, Any]) -> str | None:
        text = self._content(f"{directory}/chat_template.jinja", _MAX_TEMPLATE_BYTES)
        if text is not None:
            return text.decode("utf-8", "replace")
        return _default_template(declared.get("chat_template"))

    def _with_tokenizer(self) -> list[str]:
        names = [name for name in self._aliases if self._has_tokenizer(self._directory(name))]
        for first in self._directories(MODELS):
            if self._has_tokenizer(f"{MODELS}/{first}"):
                names.append(first)
            names += [
                f"{first}/{second}"
                for second in self._directories(f"{MODELS}/{first}")
                if self._has_tokenizer(f"{MODELS}/{first}/{second}")
            ]
        for entry in self._directories(f"{HUGGING_FACE_HOME}/hub"):
            if match := _CACHED.fullmatch(entry):
                name = match[1].replace("--", "/")
                if self._has_tokenizer(self._snapshot(name)):
                    names.append(name)
        return list(dict.fromkeys(names))

    def _has_tokenizer(self, directory: str | None) -> bool:
        if directory is None:
            return False
        return any(self._located(f"{directory}/{sign}") is not None for sign in _SIGNS_OF_TOKENIZER)

    def _directory(self, name: str) -> str | None:
        """Where the model's files are."""
        try:
            model = resolve_model(name, self._aliases, self._workspace.exists)
        except InvalidManifestError:
            return None
        if "path" in model:
            return model["path"] if self._workspace.exists(model["path"]) else None
        return self._snapshot(model["id"])

    def _snapshot(self, model_id: str) -> str | None:
        """The newest one in the hub's cache."""
        cached = f"{HUGGING_FACE_HOME}/hub/models--{model_id.replace('/', '--')}/snapshots"
        times = {}
        for revision in self._directories(cached):
            with self._workspace.directory(f"{cached}/{revision}") as descriptor:
                times[f"{cached}/{revision}"] = os.fstat(descriptor).st_mtime
        return max(times, key=lambda path: times[path]) if times else None

    def _directories(self, path: str) -> list[str]:
        try:
            return self._workspace.list_directories(path)
        except FileMissingError:
            return []

    def _json(self, path: str) -> dict[str, Any] | None:
        """None if there is no such file. Raises BodyError for one that is no JSON object."""
        content = self._content(path, _MAX_JSON_BYTES)
        if content is None:
            return None
        value = parse_json(content)
        if not isinstance(value, dict):
            raise BodyError(f"{path}: not a JSON object")
        return value

    def _content(self, path: str, max_bytes: int) -> bytes | None:
        located = self._located(path)
        try:
            return self._workspace.read_file(located, max_bytes) if located else None
        except FileMissingError:
            return None

    def _located(self, path: str) -> str | None:
        """The regular file, which in the hub's cache is a blob."""
        if self._workspace.exists(path):
            return path
        directory, _, name = path.rpartition("/")
        try:
            with self._workspace.directory(directory) as descriptor:
                match = _BLOB.fullmatch(os.readlink(name, dir_fd=descriptor))
        except (OSError, FileMissingError):
            return None
        if match is None or "/snapshots/" not in directory:
            return None
        blob = f"{directory.partition('/snapshots/')[0]}/blobs/{match[1]}"
        return blob if self._workspace.exists(blob) else None


def _special_tokens(declared: Mapping[str, Any]) -> dict[str, str]:
    """A token is a text, or an object with its `content`."""
    values = {name: declared.get(name) for name in _TOKENS}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in values.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _default_template(value: object) -> str | None:
    """One text, or a list of named ones."""
    if isinstance(value, str):
        return value
    named = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    return next((str(item["template"]) for item in named if item.get("name") == "default" and "template" in item), None)
