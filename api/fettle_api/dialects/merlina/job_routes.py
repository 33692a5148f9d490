"""Jobs: validate, submit, status, lists, metrics, stop, delete."""

import asyncio
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.merlina import translate, translate_jobs
from fettle_api.dialects.merlina.preparation import Prepared, prepare
from fettle_api.dialects.merlina.refusals import in_words_of_merlina, resource_name, whole_number
from fettle_api.dialects.merlina.wire import TrainingConfig, TrainRequest, parse
from fettle_api.dialects.merlina.wire_answers import (
    ClearedAnswer,
    DeletedJobAnswer,
    HistoryAnswer,
    JobsAnswer,
    MetricsAnswer,
    StatusAnswer,
    StoppedAnswer,
    SubmittedAnswer,
    ValidationAnswer,
)
from fettle_api.errors import JobFinishedError, JobNotFoundError
from fettle_api.jobs.logs import MAX_LINES
from fettle_api.resources.models import JobView
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_object
from fettle_api.web.callers import identity_of
from fettle_api.web.documentation import documented
from fettle_api.web.idempotency import Identity
from fettle_client.protocol import AlreadyExistsError
from fettle_schema.errors import InvalidManifestError

_MAX_TRIES = 100
_PAGE = 50


def add_submission(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """What takes a configuration."""
    ids = translate.JobIds()

    @router.post("/validate", **documented({200: ValidationAnswer}, (422,), body=TrainingConfig))
    async def validate(request: Request) -> Response:
        """Check a configuration; creates nothing."""
        with in_words_of_merlina():
            config = parse(TrainingConfig, await read_object(request, settings.max_body_bytes))
        job_id = translate.JobIds().next(service.clock())
        prepared = await prepare(service, settings, config, job_id, "normal", None)
        return JSONResponse(prepared.validation.answer())

    query = {"priority": {"type": "string", "default": "normal"}}

    @router.post(
        "/train", **documented({200: SubmittedAnswer}, (409, 422), body=TrainRequest, query=query, takes_key=True)
    )
    async def train(request: Request) -> Response:
        """Submit a configuration as a job."""
        with in_words_of_merlina():
            body = await read_object(request, settings.max_body_bytes)
            config = parse(TrainRequest, body)
        priority = translate.priority_of(request.query_params.get("priority"))
        identity = identity_of(request, translate.NAME, {"priority": priority, "config": body})
        job = await _submit(service, settings, config, priority, identity, ids)
        position = translate_jobs.position_of(job.name, await service.jobs.queue_of(job)) or 1
        job_id = translate.id_of_name(job.name)
        message = f"Training spell cast! Job {job_id} queued at position {position}."
        return JSONResponse({"job_id": job_id, "status": "queued", "message": message})


async def _submit(
    service: Service,
    settings: ApiSettings,
    config: TrainingConfig,
    priority: str,
    identity: Identity,
    ids: translate.JobIds,
) -> JobView:
    """A job with an id that no other has. Raises an HTTPException 400 with all findings."""
    is_keyed, digest = identity.request_digest is not None, identity.request_digest
    job_id = translate.keyed_id(identity.digits) if is_keyed else ids.next(service.clock())
    prepared = await prepare(service, settings, config, job_id, priority, digest)
    _refuse(prepared)
    for _ in range(_MAX_TRIES):
        try:
            return await _create(service, prepared)
        except AlreadyExistsError:
            if is_keyed:
                raise
            job_id = ids.next(service.clock())  # another facade, or kubectl, has this one
            prepared = await prepare(service, settings, config, job_id, priority, digest)
    raise HTTPException(409, "Too many jobs are being submitted at once; try again")


async def _create(service: Service, prepared: Prepared) -> JobView:
    assert prepared.request is not None
    try:
        return await service.submissions.submit(prepared.request)
    except InvalidManifestError as error:
        prepared.validation.errors += translate.findings_of(error)
        raise HTTPException(400, detail=prepared.validation.detail()) from None


def _refuse(prepared: Prepared) -> None:
    if not prepared.validation.is_valid or prepared.request is None:
        raise HTTPException(400, detail=prepared.validation.detail())


def add_jobs(router: APIRouter, service: Service) -> None:
    """What there is to know about jobs."""

    @router.get("/status/{job_id}", **documented({200: StatusAnswer}, (404,)))
    async def status(job_id: str) -> Response:
        """State and progress of a job."""
        with in_words_of_merlina():
            job = await service.jobs.get(resource_name(job_id))
        return JSONResponse(translate_jobs.status_answer(job, await service.jobs.queue_of(job)))

    @router.get("/jobs", **documented({200: JobsAnswer}))
    async def jobs() -> Response:
        """All jobs, the newest first."""
        return JSONResponse(translate_jobs.summary_of(await service.jobs.all()))

    query: dict[str, dict[str, Any]] = {
        "status": {"type": "string"},
        "limit": {"type": "integer", "minimum": 0, "default": _PAGE},
        "offset": {"type": "integer", "minimum": 0, "default": 0},
    }

    @router.get("/jobs/history", **documented({200: HistoryAnswer}, (422,), query=query))
    async def history(request: Request) -> Response:
        """A page of jobs, the newest first."""
        limit = whole_number(request.query_params, "limit", _PAGE)
        offset = whole_number(request.query_params, "offset", 0)
        wanted = request.query_params.get("status")
        return JSONResponse(translate_jobs.history_of(await service.jobs.all(), wanted, limit, offset))

    @router.get("/jobs/{job_id}/metrics", **documented({200: MetricsAnswer}, (404,)))
    async def metrics(job_id: str) -> Response:
        """The series of a job, by step."""
        with in_words_of_merlina():
            job = await service.jobs.get(resource_name(job_id))
        series = await service.results.series(job, MAX_LINES)
        return JSONResponse(translate_jobs.metrics_of(job, series.events))


def add_endings(router: APIRouter, service: Service) -> None:
    """What ends jobs."""

    @router.post("/jobs/{job_id}/stop", **documented({200: StoppedAnswer}, (404,)))
    async def stop(job_id: str) -> Response:
        """Take a job out of the queue, or stop it after its current step."""
        with in_words_of_merlina():
            job = await service.jobs.get(resource_name(job_id))
            state = translate_jobs.status_of_job(job)
            try:
                await service.jobs.cancel(job.name)
            except JobFinishedError:
                if state in translate_jobs.FINAL or not job.is_stopping:  # else it was asked to stop before
                    words = f"Job {job_id} is in state '{state}' and cannot be stopped"
                    return JSONResponse({"status": "warning", "message": words, "job_id": job_id})
        was_queued = state == "queued"
        words = f"Stop request sent to job {job_id}. Training will stop after current step."
        words = f"Job {job_id} removed from queue" if was_queued else words
        return JSONResponse({"status": "success", "message": words, "job_id": job_id, "was_queued": was_queued})

    @router.delete("/jobs/{job_id}", **documented({200: DeletedJobAnswer}, (404,)))
    async def delete(job_id: str) -> Response:
        """Delete a job; one that runs is stopped first."""
        with in_words_of_merlina():
            deleted = await service.jobs.delete(resource_name(job_id))
        await service.job_storage.remove(deleted)
        return JSONResponse({"status": "success", "message": f"Job {job_id} deleted successfully", "job_id": job_id})

    @router.delete("/jobs", **documented({200: ClearedAnswer}))
    async def clear() -> Response:
        """Delete all jobs that were made through this API."""
        own = [job for job in await service.jobs.all() if job.dialect == translate.NAME]
        deleted = await asyncio.gather(*(_delete(service, job) for job in own))
        count = sum(deleted)
        return JSONResponse(
            {"status": "success", "message": f"Cleared all jobs ({count} jobs deleted)", "deleted_count": count}
        )


async def _delete(service: Service, job: JobView) -> bool:
    try:
        await service.job_storage.remove(await service.jobs.delete(job.name))
    except JobNotFoundError:  # somebody else was faster
        return False
    return True
