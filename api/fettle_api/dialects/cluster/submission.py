"""`POST /train`: judge the request, make the job, say whether it starts or waits."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.cluster.dataset_versions import source_of_version
from fettle_api.dialects.cluster.refusals import as_request_error, unprocessable
from fettle_api.dialects.cluster.translate import NAME, adapter_name_of, request_of_train, warnings_of
from fettle_api.dialects.cluster.wire import RequestError, TrainRequest, finding, parse_request, parse_strategy
from fettle_api.dialects.cluster.wire_answers import StartedAnswer
from fettle_api.errors import AdapterNotFoundError, JobRunningError, RemoteError
from fettle_api.jobs.queue import job_queue
from fettle_api.jobs.uuid_ids import id_of_name
from fettle_api.resources.models import JobRequest
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import parse_json, read_bytes
from fettle_api.web.callers import identity_of
from fettle_api.web.documentation import documented

_WEBHOOK_CHECK_SECONDS = 2.0
_STRATEGY = {"strategy": {"type": "string", "enum": ["queue", "reject"], "default": "queue"}}


@dataclass(frozen=True)
class Submission:
    """A request that was judged."""

    job: JobRequest
    rejects: bool
    warnings: list[str]


def add_submission(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """The one route that makes a job."""

    @router.post(
        "/train", **documented({200: StartedAnswer}, (409, 422), body=TrainRequest, query=_STRATEGY, takes_key=True)
    )
    async def submit(request: Request) -> Response:
        """Start a training job; while another one runs it waits, or with `strategy=reject` it is refused."""
        submissions = service.submissions
        try:
            with as_request_error():
                made = await _judge(request, service, settings)
                if made.rejects:
                    job = await submissions.submit_unless_running(made.job, of_any_dialect=True)
                else:
                    job = await submissions.submit(made.job)
        except RequestError as error:
            return unprocessable(error.findings)
        except JobRunningError:
            raise HTTPException(409, "A training job is already running; the job was rejected") from None
        place = None if made.rejects else job_queue(await service.jobs.all()).position(job.name)
        return JSONResponse(_answer(id_of_name(job.name), place, made.warnings))


async def _judge(request: Request, service: Service, settings: ApiSettings) -> Submission:
    """Raises RequestError, BodyError, UrlError."""
    body = parse_json(await read_bytes(request, settings.max_body_bytes))
    train = parse_request(body)
    rejects = parse_strategy(request.query_params)
    base_model = settings.model_aliases.get(train.model_name, train.model_name)
    if train.webhook_url is not None:
        await _check_webhook(service, train.webhook_url)
    is_alias = train.dataset_version in settings.dataset_aliases
    job = request_of_train(
        train,
        identity_of(request, NAME, body),
        adapter_name=adapter_name_of(train, base_model, await service.adapters.all()),
        source=None if is_alias else source_of_version(train.dataset_version, await service.datasets.all()),
        start_adapter=await _start_adapter(service, train, base_model),
        tracking_project=settings.tracking_project,
    )
    return Submission(job, rejects, warnings_of(train))


async def _check_webhook(service: Service, url: str) -> None:
    """Raises UrlError. A host that cannot be found now may be there when the job has ended."""
    with suppress(RemoteError, TimeoutError):
        async with asyncio.timeout(_WEBHOOK_CHECK_SECONDS):
            await service.outbound.check(url)


async def _start_adapter(service: Service, train: TrainRequest, base_model: str) -> str | None:
    if train.adapter_path is None:
        return None
    try:
        return (await service.adapters.starting_point(train.adapter_path, base_model)).name
    except AdapterNotFoundError:
        message = "names no Adapter, no directory of an adapter in the workspace, and no hub id (owner/name)"
        raise RequestError([finding("adapter_path", f"adapter_path {message}")]) from None


def _answer(job_id: str, place: int | None, warnings: list[str]) -> dict[str, object]:
    answer: dict[str, object] = {"job_id": job_id, "status": "started", "message": "Training job started"}
    if place is not None:
        answer |= {"status": "queued", "message": f"Training job added to queue at position {place}"}
    return {**answer, "warnings": warnings} if warnings else answer
