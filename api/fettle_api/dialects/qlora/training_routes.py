"""Training: start, status, list, stop, upload of texts."""

import secrets
from contextlib import suppress
from dataclasses import replace

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.qlora import translate
from fettle_api.dialects.qlora.refusals import in_words_of_qlora
from fettle_api.dialects.qlora.wire import (
    MODELS,
    RequestError,
    StartRequest,
    UploadRequest,
    check_start,
    check_upload,
    parse_start,
)
from fettle_api.dialects.qlora.wire_answers import (
    JobAnswer,
    JobsAnswer,
    StoppedAnswer,
    SubmittedAnswer,
    UploadedAnswer,
)
from fettle_api.errors import DatasetNotFoundError
from fettle_api.jobs.uuid_ids import id_of_name, resource_name
from fettle_api.resources.models import JobRequest, JobView
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import parse_json, read_bytes
from fettle_api.web.callers import identity_of
from fettle_api.web.documentation import documented
from fettle_api.web.slices import in_slices

_MAX_TEXTS_BYTES = 32 * 1024 * 1024
"""Texts come in the body, so it may be larger than that of other requests."""


def add_training(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """All routes below /api/training."""
    _add_start(router, service, settings)
    _add_jobs(router, service)

    @router.post("/api/training/data/upload", **documented({200: UploadedAnswer}, (400, 409, 507), body=UploadRequest))
    async def upload(request: Request) -> Response:
        """Keep texts as a dataset; the same name again is a new version of it."""
        with in_words_of_qlora():
            given, texts = check_upload(await _read_body(request, settings))
        name = given or f"dataset_{service.clock():%Y%m%d_%H%M%S}_{secrets.token_hex(2)}"
        count = len(texts)
        await service.datasets.write_rows(name, ({"text": text} for text in texts))
        message = f"Training data uploaded successfully with {count} texts"
        return JSONResponse({"dataset_name": name, "num_texts": count, "status": "uploaded", "message": message})


def _add_start(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    @router.post(
        "/api/training/start",
        **documented({200: SubmittedAnswer}, (400, 409, 507), body=StartRequest, takes_key=True),
    )
    async def start(request: Request) -> Response:
        """Start a QLoRA training job."""
        with in_words_of_qlora():
            body = await _read_body(request, settings)
            model_name, texts = check_start(body)
            if not await _is_known(service, settings, model_name):
                raise RequestError(f"Model {model_name[:200]} not available")
            wanted = parse_start(body, model_name, texts)
            identity = identity_of(request, translate.NAME, body)
            made = translate.request_of_start(wanted, identity, frozenset(settings.model_aliases))
            job = await _submit(service, made, texts)
        job_id = id_of_name(job.name)
        message = f"Training job {job_id} submitted successfully"
        return JSONResponse({"job_id": job_id, "status": "submitted", "message": message})


def _add_jobs(router: APIRouter, service: Service) -> None:
    @router.get("/api/training/jobs", **documented({200: JobsAnswer}))
    async def list_jobs() -> Response:
        """All jobs, the newest first."""
        jobs = await in_slices(reversed(await service.jobs.all()), translate.summary_of_view)
        return JSONResponse({"jobs": jobs, "total": len(jobs)})

    @router.get("/api/training/status/{job_id}", **documented({200: JobAnswer}, (404,)))
    async def status(job_id: str) -> Response:
        """One job and its progress."""
        with in_words_of_qlora(job_id):
            return JSONResponse(translate.job_of_view(await service.jobs.get(resource_name(job_id))))

    @router.post("/api/training/stop/{job_id}", **documented({200: StoppedAnswer}, (400, 404)))
    async def stop(job_id: str) -> Response:
        """Cancel a job that waits or runs."""
        with in_words_of_qlora(job_id):
            await service.jobs.cancel(resource_name(job_id))
        message = f"Training job {job_id} cancelled successfully"
        return JSONResponse({"job_id": job_id, "status": "cancelled", "message": message})


async def _read_body(request: Request, settings: ApiSettings) -> dict[str, object]:
    """An object; nothing at all, and whatever is empty, is an empty one. Raises BodyError, BodyTooLargeError."""
    content = await read_bytes(request, max(settings.max_body_bytes, min(_MAX_TEXTS_BYTES, settings.max_upload_bytes)))
    value = parse_json(content) if content.strip() else {}
    if not value:
        return {}
    if not isinstance(value, dict):
        raise RequestError("The body must be a JSON object")
    return value


async def _is_known(service: Service, settings: ApiSettings, name: str) -> bool:
    """A short name, a model of the workspace, or the id of a repository, which the job will look for."""
    if name in settings.model_aliases or name in MODELS or await service.base_models.is_present(name):
        return True
    owner, _, repository = name.partition("/")
    return bool(owner and repository) and owner not in ("models", ".", "..") and "/" not in repository


async def _submit(service: Service, made: JobRequest, texts: list[str]) -> JobView:
    """The rows are there before the job is, and go again if it is not made, or was made before."""
    dataset, version = await service.datasets.write_rows(made.name, ({"text": text} for text in texts))
    source = {"workspace": {"path": dataset.path, "version": version}}
    spec = {**made.spec, "dataset": {**made.spec["dataset"], "source": source}}
    is_used = False
    try:
        job = await service.submissions.submit(replace(made, spec=spec))
        is_used = _reads(job, version)
        return job
    finally:
        if not is_used:
            with suppress(DatasetNotFoundError):
                # Without a key the name is this request's alone; with one, another version may be in use.
                await service.datasets.delete(dataset.name, version if made.request_digest else None)


def _reads(job: JobView, version: str) -> bool:
    source = job.spec.dataset.source.workspace if job.spec.dataset else None
    return source is not None and source.version == version
