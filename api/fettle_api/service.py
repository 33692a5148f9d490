"""Use cases: submit, list, get, cancel, logs, output. No HTTP, no dialect, no Kubernetes call of its own."""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from fettle_api.errors import FileMissingError, FileNameError, JobFinishedError
from fettle_api.logs import MAX_LINES, LogSource, parse_line
from fettle_api.models import JobLog, JobOutput, JobRequest, JobView
from fettle_api.resolution import resolve_dataset, resolve_model
from fettle_api.settings import ApiSettings
from fettle_api.store import Store
from fettle_api.workspace import OpenFile, Tail, Workspace
from fettle_client.protocol import ApiError
from fettle_schema import names
from fettle_schema.base import API_VERSION
from fettle_schema.errors import FettleError, FieldError, InvalidManifestError
from fettle_schema.layout import ADAPTERS, METRICS_FILE, MODELS
from fettle_schema.run import ProgressEvent
from fettle_schema.validation import admit

_LOGGED_EVENT = re.compile(rb'"kind"\s*:\s*"(?:step|evaluation)"')


class CredentialsError(FettleError):
    """The Secret for a job could not be made, so the job was taken back. Says nothing of its content."""

    code = "Credentials"


class Service:
    """What every dialect can ask for."""

    def __init__(
        self,
        settings: ApiSettings,
        store: Store,
        workspace: Workspace,
        logs: LogSource,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._store, self._workspace, self._logs = settings, store, workspace, logs
        self._clock = clock
        self._last_time = datetime.min.replace(tzinfo=clock().tzinfo)

    async def submit(self, request: JobRequest) -> JobView:
        """Create the job, then the Secret that it owns. Raises InvalidManifestError with everything that is wrong."""
        manifest = await self._manifest(request)
        admit(manifest)  # findings with paths; the API server has the last word
        job = await self._store.create_job(manifest)
        if request.secrets:
            await self._create_secret(job, request)
        return job

    async def list_jobs(self) -> list[JobView]:
        """All jobs of the namespace, in order of creation."""
        return await self._store.list_jobs()

    async def get_job(self, name: str) -> JobView:
        """Raises JobNotFoundError."""
        return await self._store.get_job(name)

    async def cancel(self, name: str) -> JobView:
        """Stop a job for good. Raises JobNotFoundError, JobFinishedError."""
        job = await self._store.get_job(name)
        if job.is_finished or job.is_stopping:
            raise JobFinishedError(f"training job {name!r} has ended already")
        return await self._store.cancel_job(name)

    async def logs(self, name: str, tail: int | None) -> JobLog:
        """The last lines and reports; all (at most 10,000 each) if `tail` is None. Raises JobNotFoundError."""
        job = await self._store.get_job(name)
        count = MAX_LINES if tail is None else min(tail, MAX_LINES)
        text = await self._logs.tail(job, count) or Tail([], 0)
        series = await asyncio.to_thread(self._series, job, count)
        events = tuple(event for event in map(_parse_event, series.lines) if event is not None)
        return JobLog(job, tuple(map(parse_line, text.lines)), text.line_count, events, series.line_count)

    async def output(self, name: str) -> JobOutput:
        """What the job published; no files before it did. Raises JobNotFoundError."""
        job = await self._store.get_job(name)
        path = _output_path(job)
        if path is None:
            return JobOutput(job)
        try:
            return JobOutput(job, tuple(await asyncio.to_thread(self._workspace.list_files, path)))
        except FileMissingError:
            return JobOutput(job)

    async def open_output(self, name: str, file_name: str) -> tuple[OpenFile, str]:
        """A published file and its entity tag. Raises JobNotFoundError, FileNameError, FileMissingError."""
        job = await self._store.get_job(name)
        if not file_name or re.search(r"[/\\\0]|\.\.", file_name) or file_name == ".":
            raise FileNameError("Invalid filename")
        path = _output_path(job)
        if path is None or job.status.output is None:
            raise FileMissingError(f"training job {name!r} has published nothing yet")
        file = await asyncio.to_thread(self._workspace.open_file, f"{path}/{file_name}")
        identity = f"{job.status.output.digest}/{file_name}/{file.size_bytes}/{file.modified_ns}"
        return file, f'"{hashlib.sha256(identity.encode()).hexdigest()[:32]}"'

    async def _manifest(self, request: JobRequest) -> dict[str, Any]:
        spec = await asyncio.to_thread(self._resolve, request)
        metadata = {
            "name": request.name,
            "namespace": self._store.namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
            "annotations": self._annotations(request),
        }
        return {"apiVersion": API_VERSION, "kind": "TrainingJob", "metadata": metadata, "spec": spec}

    def _resolve(self, request: JobRequest) -> dict[str, Any]:
        settings, spec, exists = self._settings, dict(request.spec), self._workspace.exists
        errors: list[FieldError] = []
        try:
            spec["baseModel"] = resolve_model(request.base_model, settings.model_aliases, exists)
        except InvalidManifestError as error:
            errors += error.errors
        try:
            if request.dataset is not None:
                source = resolve_dataset(request.dataset, settings.dataset_aliases, exists)
                spec["dataset"] = {**spec.get("dataset", {}), "source": source}
        except InvalidManifestError as error:
            errors += error.errors
        if errors:
            raise InvalidManifestError(errors)
        spec["resources"] = {"gpusPerNode": settings.default_gpus, **spec.get("resources", {})}
        secret_name = settings.credentials_secret_name
        if request.secrets:
            secret_name = names.credentials_secret_name(request.name)
        if secret_name:
            spec["credentials"] = {"secretName": secret_name}
        return spec

    def _annotations(self, request: JobRequest) -> dict[str, str]:
        annotations = {
            names.ANNOTATION_DIALECT: request.dialect,
            names.ANNOTATION_ORIGINAL_ID: request.original_id,
            names.ANNOTATION_CREATED_AT: self._creation_time().isoformat(timespec="microseconds"),
            names.ANNOTATION_REQUEST: json.dumps(request.request, ensure_ascii=False),
            names.ANNOTATION_DESCRIPTION: request.description or "",
            names.ANNOTATION_RUN_NAME: request.run_name or "",
        }
        return {name: value for name, value in annotations.items() if value}

    def _creation_time(self) -> datetime:
        """Now, but always later than the last one: order of arrival holds within a microsecond too."""
        self._last_time = max(self._clock(), self._last_time + timedelta(microseconds=1))
        return self._last_time

    async def _create_secret(self, job: JobView, request: JobRequest) -> None:
        name = names.credentials_secret_name(job.name)
        try:
            await self._store.create_secret(name, dict(request.secrets), job)
        except ApiError as error:
            await self._store.delete_job(job)
            # The server's words could quote what it refused.
            raise CredentialsError(f"secret {name!r} could not be created ({error.code})") from None

    def _series(self, job: JobView, count: int) -> Tail:
        path = f"{names.job_directory(job.name, job.uid)}/{METRICS_FILE}"
        try:
            return self._workspace.tail(path, count, _LOGGED_EVENT)
        except FileMissingError:
            return Tail([], 0)


def _output_path(job: JobView) -> str | None:
    """Where the job published, if it is a place where jobs may publish."""
    path = job.status.output.path if job.status.output else ""
    return path if path.startswith((f"{ADAPTERS}/", f"{MODELS}/")) else None


def _parse_event(line: str) -> ProgressEvent | None:
    try:
        return ProgressEvent.model_validate_json(line)
    except ValidationError:
        return None
