"""Use cases that create a job: submit, submit unless one is running. No HTTP, no dialect."""

import asyncio
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from fettle_api.errors import IdempotencyConflictError, JobNotFoundError, JobRunningError
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.claims import Claim, ClaimedError, Claims
from fettle_api.jobs.resolution import Registered, resolve_dataset, resolve_model
from fettle_api.resources.models import JobRequest, JobView
from fettle_api.resources.store import Store
from fettle_api.settings import ApiSettings
from fettle_client.protocol import AlreadyExistsError, ApiError, Manifest
from fettle_schema import names
from fettle_schema.base import API_VERSION
from fettle_schema.dataset import DatasetSource
from fettle_schema.errors import FettleError, FieldError, InvalidManifestError
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.validation import admit


class CredentialsError(FettleError):
    """The Secret for a job could not be made, so the job was taken back. Says nothing of its content."""

    code = "Credentials"


class Submissions:
    """Creates TrainingJobs, and the Secrets that they own."""

    def __init__(
        self,
        settings: ApiSettings,
        store: Store,
        workspace: Workspace,
        registered: Registered,
        claims: Claims,
        clock: Callable[[], datetime],
    ) -> None:
        self._settings, self._store, self._workspace, self._registered = settings, store, workspace, registered
        self._claims, self._clock = claims, clock
        self._last_time = datetime.min.replace(tzinfo=clock().tzinfo)

    async def submit(self, request: JobRequest) -> JobView:
        """Create the job, then the Secret that it owns. A request that came before gives the job that it made.

        Raises InvalidManifestError with everything that is wrong, IdempotencyConflictError.
        """
        return await self._create(await self._manifest(request), request)

    async def check(self, request: JobRequest) -> TrainingJobSpec:
        """What `submit` would ask for, defaults filled in; nothing is created. Raises InvalidManifestError."""
        return TrainingJobSpec.model_validate((await self._manifest(request))["spec"])

    async def dataset_source(self, name: str, split: str | None = None) -> DatasetSource:
        """Where a job would read the dataset of this name; `split` is for the hub. Raises InvalidManifestError."""
        settings, exists = self._settings, self._workspace.exists
        found = await asyncio.to_thread(resolve_dataset, name, settings.dataset_aliases, exists, self._registered)
        if split and "huggingFace" in found:
            found = {"huggingFace": {**found["huggingFace"], "split": split}}
        return DatasetSource.model_validate(found)

    async def submit_unless_running(self, request: JobRequest, *, of_any_dialect: bool = False) -> JobView:
        """The same on condition that no job of the dialect is unfinished; of several at once one goes ahead.

        With `of_any_dialect` jobs from elsewhere count too. A job that was cancelled is not counted, though its pods
        may still be there. Raises JobRunningError as well.
        """
        manifest = await self._manifest(request)
        known = await self._repeated(request) if request.request_digest else None
        if known is not None:
            return known
        for job in await self._store.list_unfinished():
            counts = of_any_dialect or job.dialect == request.dialect
            if counts and not job.is_stopping and job.name != request.name:
                raise JobRunningError(job.name)
        try:
            claim = await self._claims.take(f"fettle-submit-{request.dialect}", request.name, self._is_in_the_way)
        except ClaimedError as error:
            raise JobRunningError(error.job_name) from error
        return await self._create_claimed(claim, manifest, request)

    async def _create_claimed(self, claim: Claim, manifest: Manifest, request: JobRequest) -> JobView:
        try:
            job = await self._create(manifest, request)
        except BaseException:
            await self._claims.give_back(claim)
            raise
        if not await self._claims.confirm(claim):
            await self._store.delete_job(job)
            raise JobRunningError(job.name)
        return job

    async def _is_in_the_way(self, name: str) -> bool | None:
        try:
            job = await self._store.read_job(name)
        except JobNotFoundError:
            return None
        return not job.is_finished and not job.is_stopping

    async def _create(self, manifest: Manifest, request: JobRequest) -> JobView:
        try:
            job = await self._store.create_job(manifest)
        except AlreadyExistsError:
            known = await self._repeated(request) if request.request_digest else None
            if known is None:
                raise
            return known
        if request.secrets:
            await self._create_secret(job, request)
        return job

    async def _repeated(self, request: JobRequest) -> JobView | None:
        """The job that an earlier request with the same key made."""
        try:
            job = await self._store.read_job(request.name)
        except JobNotFoundError:
            return None
        if job.request_digest != request.request_digest:
            raise IdempotencyConflictError("this Idempotency-Key was used for another request")
        return job

    async def _manifest(self, request: JobRequest) -> Manifest:
        """Checked: findings with paths; the API server has the last word."""
        metadata = {
            "name": request.name,
            "namespace": self._store.namespace,
            "labels": {names.LABEL_MANAGED_BY: names.MANAGED_BY},
            "annotations": self._annotations(request),
        }
        spec = await asyncio.to_thread(self._resolve, request)
        manifest = {"apiVersion": API_VERSION, "kind": "TrainingJob", "metadata": metadata, "spec": spec}
        admit(manifest)
        return manifest

    def _resolve(self, request: JobRequest) -> dict[str, Any]:
        settings, spec, exists = self._settings, dict(request.spec), self._workspace.exists
        errors: list[FieldError] = []
        try:
            if request.base_model is not None:
                spec["baseModel"] = resolve_model(request.base_model, settings.model_aliases, exists)
        except InvalidManifestError as error:
            errors += error.errors
        try:
            if request.dataset is not None:
                source = resolve_dataset(request.dataset, settings.dataset_aliases, exists, self._registered)
                spec["dataset"] = {**spec.get("dataset", {}), "source": source}
        except InvalidManifestError as error:
            errors += error.errors
        if errors:
            raise InvalidManifestError(errors)
        spec["resources"] = {"gpusPerNode": settings.default_gpus, **spec.get("resources", {})}
        if request.secrets:
            spec["credentials"] = {"secretName": names.credentials_secret_name(request.name)}
        elif settings.credentials_secret_name and not spec.get("credentials"):
            spec["credentials"] = {"secretName": settings.credentials_secret_name}
        return spec

    def _annotations(self, request: JobRequest) -> dict[str, str]:
        annotations = {
            names.ANNOTATION_DIALECT: request.dialect,
            names.ANNOTATION_ORIGINAL_ID: request.original_id,
            names.ANNOTATION_CREATED_AT: self._creation_time().isoformat(timespec="microseconds"),
            names.ANNOTATION_REQUEST: json.dumps(request.request, ensure_ascii=False),
            names.ANNOTATION_DESCRIPTION: request.description or "",
            names.ANNOTATION_RUN_NAME: request.run_name or "",
            names.ANNOTATION_TEMPLATE_ID: request.template_id or "",
            names.ANNOTATION_REQUEST_DIGEST: request.request_digest or "",
            names.ANNOTATION_METADATA: "" if request.metadata is None else json.dumps(dict(request.metadata)),
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
