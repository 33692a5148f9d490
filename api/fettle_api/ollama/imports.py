"""Use case: a job's model into Ollama. As an adapter where Ollama converts it, else merged, else a clear refusal.

Which adapters Ollama converts was read from version 0.17: those of Llama and Gemma 2; later ones convert none. So each
way is tried in turn, and what the server says decides.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any

from fettle_api.errors import FileMissingError, ImportRefusedError, OllamaRefusedError
from fettle_api.files.base_models import BaseModels
from fettle_api.jobs.derivations import Derivations
from fettle_api.jobs.lifecycle import Jobs
from fettle_api.jobs.results import is_published
from fettle_api.ollama.adapters import converted_config
from fettle_api.ollama.model_files import ModelFile, ModelFiles
from fettle_api.ollama.protocol import Ollama, connect
from fettle_api.ollama.templates import template_of_job, template_of_tokenizer
from fettle_api.outbound import Outbound
from fettle_api.resources.models import JobRequest, JobView
from fettle_api.resources.store import Store
from fettle_client.protocol import AlreadyExistsError
from fettle_schema.errors import FettleError
from fettle_schema.layout import ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, MODELS
from fettle_schema.names import ANNOTATION_OLLAMA, slug, uid8
from fettle_schema.training_job import Method
from fettle_schema.vocabulary import Phase

DIALECT = "ollama"
"""What annotation `fettle.dev/dialect` of a merge says that an import has started."""
_ADAPTER_FILES = (ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE)
_CONVERTED = frozenset({"llama", "gemma2"})
"""Architectures in Ollama's words; a Mistral is a Llama there."""
_CONVERTED_TYPES = frozenset({"llama", "mistral", "gemma2"})
"""The same as `model_type` of a config.json."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class OllamaImport:
    """What is asked for."""

    url: str
    model_name: str
    base_model: str | None = None
    """The base model's name in Ollama; without it the base model's files are sent too."""


@dataclass(frozen=True)
class _Way:
    """One way to make the model: fields of `create`, and the files that they name."""

    fields: Mapping[str, Any]
    files: Mapping[str, list[ModelFile]]
    """`files` or `adapters` → files."""


class OllamaImports:
    """Imports of models that jobs made."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        derivations: Derivations,
        files: ModelFiles,
        base_models: BaseModels,
        outbound: Outbound,
        clock: Callable[[], datetime],
    ) -> None:
        self._store, self._jobs, self._derivations = store, jobs, derivations
        self._files, self._base_models, self._outbound, self._clock = files, base_models, outbound, clock
        self._running: dict[tuple[str, OllamaImport], asyncio.Task[JobView]] = {}

    def check(self, url: str) -> None:
        """Raises UrlError for a server that may not be called."""
        connect(url, self._outbound)

    async def run(self, source: JobView, wanted: OllamaImport) -> JobView:
        """The job, with what was noted on it. It goes on when the caller leaves, who may then ask again.

        Raises UrlError, ImportRefusedError, OllamaRefusedError, RemoteError, FileMissingError.
        """
        key = (source.uid, wanted)
        task = self._running.get(key)
        if task is None:
            ollama = connect(wanted.url, self._outbound)
            task = asyncio.create_task(self._run(source, wanted, ollama), name=f"import-{source.name}")
            self._running[key] = task
            task.add_done_callback(partial(self._finish, key))
        return await asyncio.shield(task)

    async def stop(self) -> None:
        """Leave what is under way."""
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _finish(self, key: tuple[str, OllamaImport], task: asyncio.Task[JobView]) -> None:
        """Whoever asked may have left: what went wrong is noted here too."""
        self._running.pop(key, None)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            words = str(error) if isinstance(error, FettleError) else type(error).__name__
            _logger.warning("import into Ollama failed", extra={"job_uid": key[0], "error": words})

    async def _run(self, source: JobView, wanted: OllamaImport, ollama: Ollama) -> JobView:
        ways, why_not = await self._ways(source, wanted, ollama)
        for way in ways:
            try:
                await self._create(ollama, wanted.model_name, way)
                break
            except OllamaRefusedError as error:
                why_not.append(str(error))
        else:
            if not _is_adapter(source):
                raise OllamaRefusedError(why_not[-1])
            await self._merge(source, why_not)
        note = {"name": wanted.model_name, "importedAt": self._clock().isoformat()}
        return await self._store.annotate_job(source.name, {ANNOTATION_OLLAMA: json.dumps(note)})

    async def _create(self, ollama: Ollama, model_name: str, way: _Way) -> None:
        named: dict[str, Any] = {}
        for field, files in way.files.items():
            named[field] = {}
            for file in files:
                measured = await self._files.measure(file)
                named[field][file.name] = measured.digest
                if not await ollama.has_blob(measured.digest):
                    await ollama.send_blob(measured.digest, measured.size_bytes, self._files.read(file))
        await ollama.create({"model": model_name, **way.fields, **named})

    async def _ways(self, source: JobView, wanted: OllamaImport, ollama: Ollama) -> tuple[list[_Way], list[str]]:
        """What can be tried, the best first, and why the rest cannot."""
        output = source.status.output
        if output is None or not is_published(output.path):
            raise ImportRefusedError(f"training job {source.name!r} published nothing")
        if output.kind == "model":
            return [await self._model(source, output.path)], []
        ways: list[_Way] = []
        why_not: list[str] = []
        try:
            ways += await self._adapter(source, output.path, wanted, ollama)
        except ImportRefusedError as error:
            why_not.append(str(error))
        merged = await self._merged(source)
        return [*ways, *([await self._model(source, merged)] if merged else [])], why_not

    async def _model(self, source: JobView, path: str) -> _Way:
        files = await self._files.of_model(path)
        if not files:
            raise FileMissingError(f"the model of training job {source.name!r} is gone")
        return _Way(await self._template(source, path), {"files": files})

    async def _adapter(self, source: JobView, path: str, wanted: OllamaImport, ollama: Ollama) -> list[_Way]:
        """On the model there that the caller names, then on the base model's files from the workspace.

        Raises ImportRefusedError for an adapter that would not be converted, or not as it is.
        """
        described, weights = await self._files.named(path, _ADAPTER_FILES)
        config = converted_config(await self._files.read_json(path, ADAPTER_CONFIG_FILE))
        adapters = [replace(described, content=json.dumps(config).encode()), weights]
        await self._check_type(source)
        ways, why_not = [], "baseModel is needed: the name in Ollama of the model that was trained on"
        if wanted.base_model is not None:
            architecture = await ollama.architecture(wanted.base_model)
            if architecture is None or architecture in _CONVERTED:
                template = template_of_job(source.spec.dataset.template if source.spec.dataset else None)
                ways.append(_Way({"from": wanted.base_model, **template}, {"adapters": adapters}))
            else:
                why_not = _unconverted(architecture)
        base_path = await self._base_path(source)
        if base_path is not None:
            base = await self._files.of_model(base_path)
            ways.append(_Way(await self._template(source, base_path), {"files": base, "adapters": adapters}))
        if not ways:
            raise ImportRefusedError(why_not)
        return ways

    async def _check_type(self, source: JobView) -> None:
        """Refuse what is known not to be converted; what is not known, Ollama decides."""
        base = source.spec.base_model
        named = (await self._base_models.config(base.path or base.id or "") or {}).get("model_type")
        if isinstance(named, str) and named not in _CONVERTED_TYPES:
            raise ImportRefusedError(_unconverted(named))

    async def _base_path(self, source: JobView) -> str | None:
        """The base model's directory, if its files lie in the workspace."""
        base = source.spec.base_model
        path = base.path or f"{MODELS}/{base.id}"
        return path if await self._files.of_model(path) else None

    async def _template(self, source: JobView, path: str) -> dict[str, Any]:
        named = template_of_job(source.spec.dataset.template if source.spec.dataset else None)
        return named or template_of_tokenizer(await self._files.chat_template(path))

    async def _merged(self, source: JobView) -> str | None:
        """A merged model of this adapter: of the job itself, or of a merge."""
        own = await self._files.merged_output(source)
        if own is not None:
            return own
        for job in reversed(await self._jobs.all()):
            is_merge = job.method is Method.MERGE and job.phase is Phase.SUCCEEDED
            if not is_merge or job.created_at < source.created_at:
                continue
            start, output = job.spec.start_from, job.status.output
            if start and output and start.training_job == source.name:
                return output.path
        return None

    async def _merge(self, source: JobView, why_not: list[str]) -> None:
        """Have the adapter merged, for the next time. Raises ImportRefusedError in any case."""
        name = slug(f"merge-{uid8(source.uid)}-{source.name}")
        why = "; ".join(why_not)
        if await self._merged(source) is not None:
            raise ImportRefusedError(f"neither the adapter nor the merged model can be imported: {why}")
        try:
            merge = (await self._derivations.merge(source.name, lambda job: _merge_request(job, name))).job
        except AlreadyExistsError:
            merge = await self._jobs.get(name)
        if merge.is_finished:
            failure = merge.status.failure
            words = failure.message if failure else f"it is {merge.phase.lower()}"
            raise ImportRefusedError(f"{why}; and it could not be merged by training job {name!r}: {words}")
        raise ImportRefusedError(f"{why}; it is being merged by training job {name!r}: ask again when that is done")


def _is_adapter(source: JobView) -> bool:
    return source.status.output is not None and source.status.output.kind == "adapter"


def _merge_request(source: JobView, name: str) -> JobRequest:
    request = JobRequest(name, DIALECT, name, base_model=None, dataset=None, spec={}, request={})
    return replace(request, description=f"The adapter of training job {source.name}, merged for Ollama.")


def _unconverted(architecture: str) -> str:
    return f"Ollama converts adapters of Llama and Gemma 2 only, and this one is for {architecture[:80]}"
