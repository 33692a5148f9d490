"""Fine-tuning jobs: create, list, get, cancel, pause, resume, events, checkpoints."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.openai.lookups import look_up
from fettle_api.dialects.openai.pages import Bounds, cut, list_of, page_request
from fettle_api.dialects.openai.refusals import in_words_of_openai, resource_name
from fettle_api.dialects.openai.translate import NAME, request_of_body
from fettle_api.dialects.openai.translate_events import checkpoints_of, events_of
from fettle_api.dialects.openai.translate_jobs import has_metadata, job_of_view, metadata_of_query
from fettle_api.dialects.openai.wire import JobBody, parse_job
from fettle_api.dialects.openai.wire_answers import CheckpointsAnswer, EventsAnswer, JobAnswer, JobsAnswer
from fettle_api.jobs.logs import MAX_LINES
from fettle_api.resources.models import JobView
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_object
from fettle_api.web.callers import identity_of
from fettle_api.web.documentation import documented

_JOBS = "/fine_tuning/jobs"
_JOB = f"{_JOBS}/{{fine_tuning_job_id}}"
_JOB_BOUNDS = Bounds(default=20, largest=100)
_EVENT_BOUNDS = Bounds(default=20, largest=1000)
_CHECKPOINT_BOUNDS = Bounds(default=10, largest=100)


def add_jobs(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """Create, list and get."""
    aliases = frozenset(settings.model_aliases)

    @router.post(_JOBS, **documented({200: JobAnswer}, (400,), body=JobBody, takes_key=True))
    async def create(request: Request) -> Response:
        """Create a fine-tuning job."""
        with in_words_of_openai():
            body = await read_object(request, settings.max_body_bytes)
            wanted = parse_job(body)
            found = await look_up(service, wanted, aliases)
            identity = identity_of(request, NAME, body)
            job = await service.submissions.submit(request_of_body(wanted, identity, found))
        return JSONResponse(await _shown(service, settings, job))

    query = {**_JOB_BOUNDS.query(), "metadata": {"type": "string"}}

    @router.get(_JOBS, **documented({200: JobsAnswer}, (400,), query=query))
    async def list_jobs(request: Request) -> Response:
        """Jobs, the newest first; `metadata[key]=value` chooses, `metadata=null` those without."""
        with in_words_of_openai():
            wanted = page_request(request.query_params, _JOB_BOUNDS)
            pairs = metadata_of_query(request.query_params)
            jobs = (await service.jobs.all())[::-1]
            chosen = jobs if pairs == {} else [job for job in jobs if has_metadata(job, pairs)]
            page, has_more = cut(chosen, wanted, lambda job: job.name)
        metrics = await service.results.final_metrics_of(page)
        shown = [job_of_view(job, settings.namespace, metrics.get(job.name, {})) for job in page]
        return JSONResponse(list_of(shown, has_more))

    @router.get(_JOB, **documented({200: JobAnswer}, (404,)))
    async def get_job(fine_tuning_job_id: str) -> Response:
        """One job."""
        with in_words_of_openai(fine_tuning_job_id):
            job = await service.jobs.get(resource_name(fine_tuning_job_id))
        return JSONResponse(await _shown(service, settings, job))


def add_changes(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """Cancel, pause and resume; none takes a body."""

    @router.post(f"{_JOB}/cancel", **documented({200: JobAnswer}, (400, 404)))
    async def cancel(fine_tuning_job_id: str) -> Response:
        """Cancel a job."""
        with in_words_of_openai(fine_tuning_job_id):
            job = await service.jobs.cancel(resource_name(fine_tuning_job_id))
        return JSONResponse(await _shown(service, settings, job))

    @router.post(f"{_JOB}/pause", **documented({200: JobAnswer}, (400, 404)))
    async def pause(fine_tuning_job_id: str) -> Response:
        """Save a checkpoint, free the GPUs and wait."""
        with in_words_of_openai(fine_tuning_job_id):
            job = await service.jobs.suspend(resource_name(fine_tuning_job_id), True)
        return JSONResponse(await _shown(service, settings, job))

    @router.post(f"{_JOB}/resume", **documented({200: JobAnswer}, (400, 404)))
    async def resume(fine_tuning_job_id: str) -> Response:
        """Go on with a job that was paused."""
        with in_words_of_openai(fine_tuning_job_id):
            job = await service.jobs.suspend(resource_name(fine_tuning_job_id), False)
        return JSONResponse(await _shown(service, settings, job))


def add_history(router: APIRouter, service: Service) -> None:
    """Events and checkpoints."""

    @router.get(f"{_JOB}/events", **documented({200: EventsAnswer}, (400, 404), query=_EVENT_BOUNDS.query()))
    async def list_events(request: Request, fine_tuning_job_id: str) -> Response:
        """What happened to a job, the newest first; of logged steps the last 10,000."""
        with in_words_of_openai(fine_tuning_job_id):
            wanted = page_request(request.query_params, _EVENT_BOUNDS)
            job = await service.jobs.get(resource_name(fine_tuning_job_id))
            log = await service.results.series(job, MAX_LINES if wanted.after else wanted.limit + 1)
            page, has_more = cut(events_of(log), wanted, lambda event: str(event["id"]))
        return JSONResponse(list_of(page, has_more))

    query = _CHECKPOINT_BOUNDS.query()

    @router.get(f"{_JOB}/checkpoints", **documented({200: CheckpointsAnswer}, (400, 404), query=query))
    async def list_checkpoints(request: Request, fine_tuning_job_id: str) -> Response:
        """Complete checkpoints that are kept, the highest step first."""
        with in_words_of_openai(fine_tuning_job_id):
            wanted = page_request(request.query_params, _CHECKPOINT_BOUNDS)
            job = await service.jobs.get(resource_name(fine_tuning_job_id))
            kept = await service.results.checkpoints(job)
            log = await service.results.series(job, MAX_LINES if kept else 1)
            page, has_more = cut(checkpoints_of(kept, log), wanted, lambda checkpoint: str(checkpoint["id"]))
        return JSONResponse(list_of(page, has_more))


async def _shown(service: Service, settings: ApiSettings, job: JobView) -> dict[str, Any]:
    return job_of_view(job, settings.namespace, await service.results.final_metrics(job))
