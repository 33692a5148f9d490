"""Jobs: start, list, get, cancel."""

from contextlib import suppress

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.milady import translate
from fettle_api.dialects.milady.refusals import in_words_of_milady, job_name
from fettle_api.dialects.milady.wire import KNOWN_MODELS, JobOptions, parse_request
from fettle_api.dialects.milady.wire_answers import JobAnswer, JobsAnswer
from fettle_api.errors import DatasetNotFoundError, JobFinishedError
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.trajectories.service import is_built
from fettle_api.web.body import read_optional_object
from fettle_api.web.callers import identity_of
from fettle_api.web.documentation import documented
from fettle_api.web.slices import in_slices
from fettle_schema.dataset import DatasetSource

JOBS = "/api/training/jobs"


def add_jobs(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """What there is to do with a job."""
    _add_start(router, service, settings)

    @router.get(JOBS, **documented({200: JobsAnswer}))
    async def list_jobs() -> Response:
        """All jobs, the newest first; their logs are left out."""
        shown = filter(translate.is_shown, reversed(await service.jobs.all()))
        return JSONResponse({"jobs": await in_slices(shown, translate.job_of_view)})

    @router.get(f"{JOBS}/{{job_id}}", **documented({200: JobAnswer}, (404,)))
    async def get_job(job_id: str) -> Response:
        """Status and progress of a job, with the end of its log."""
        with in_words_of_milady():
            log = await service.results.log(job_name(job_id), translate.LOG_LINES)
        return JSONResponse({"job": translate.job_of_view(log.job, log)})

    @router.post(f"{JOBS}/{{job_id}}/cancel", **documented({200: JobAnswer}, (404,)))
    async def cancel(job_id: str) -> Response:
        """Cancel a job; one that has finished stays as it is."""
        with in_words_of_milady():
            name = job_name(job_id)
            with suppress(JobFinishedError):
                await service.jobs.cancel(name)
            job = await service.jobs.get(name)
        return JSONResponse({"job": translate.job_of_view(job)})


def _add_start(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    @router.post(
        JOBS,
        **documented({201: JobAnswer}, (400, 409, 507), body=JobOptions, is_body_required=False, takes_key=True),
    )
    async def start(request: Request) -> Response:
        """Start a training job, unless one of this API is running."""
        with in_words_of_milady():
            body = await read_optional_object(request, settings.max_body_bytes)
            options = parse_request(JobOptions, body)
            dataset, built = await _dataset(service, settings, options)
            model = await _model(service, settings, options)
            identity = identity_of(request, translate.NAME, body)
            job_request = translate.request_of_options(options, model, dataset, built, identity)
            job = await service.submissions.submit_unless_running(job_request)
        return JSONResponse({"job": translate.job_of_view(job)}, 201)


async def _model(service: Service, settings: ApiSettings, options: JobOptions) -> str:
    """The base model: what the installation calls so, else what the name is known for."""
    name = options.model or settings.default_model
    is_ours = name in settings.model_aliases or await service.base_models.is_present(name)
    return name if is_ours else KNOWN_MODELS.get(name, name)


async def _dataset(service: Service, settings: ApiSettings, options: JobOptions) -> tuple[DatasetSource | str, bool]:
    """Where the rows are, or an alias, and whether they were built from trajectories."""
    named = options.dataset_id
    if named in settings.dataset_aliases:
        return str(named), False
    try:
        dataset = await service.trajectories.latest() if named is None else await service.datasets.get(named)
    except DatasetNotFoundError:
        raise HTTPException(400, f"Dataset {named} not found") from None
    return await service.trajectories.source(dataset, options.max_trajectories), is_built(dataset)
