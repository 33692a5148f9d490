"""AINode's training API over HTTP: parse, call the service once, answer."""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import JSONResponse, Response

from fettle_api.body import read_object
from fettle_api.dialects.ainode import translate
from fettle_api.dialects.ainode.wire import ConfigError, parse_config
from fettle_api.dialects.dialect import Dialect
from fettle_api.downloads import attachment
from fettle_api.errors import BodyError, FileMissingError, JobFinishedError, JobNotFoundError
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_schema.errors import InvalidManifestError

_PREFIX = "/api/training"


def render_error(status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Every error of this API: `{"error": "…"}`."""
    return JSONResponse({"error": message}, status, dict(headers))


def build_router(service: Service, settings: ApiSettings) -> APIRouter:
    """All routes of this API."""
    router = APIRouter(prefix=_PREFIX)
    _add_jobs(router, service, settings)
    _add_results(router, service)
    return router


def _add_jobs(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    @router.post("/jobs", status_code=201)
    async def submit(request: Request) -> Response:
        try:
            config = parse_config(await read_object(request, settings.max_body_bytes))
            job = await service.submit(translate.request_of_config(config, secrets.token_hex(6)))
        except BodyError:
            return render_error(400, "Invalid JSON body", {})
        except ConfigError as error:
            return render_error(400, str(error), {})
        except InvalidManifestError as error:
            return render_error(400, str(ConfigError(translate.findings_of(error))), {})
        return JSONResponse(translate.job_of_view(job, _now()), 201)

    @router.get("/jobs")
    async def list_jobs() -> dict[str, Any]:
        now = _now()
        return {"jobs": [translate.job_of_view(job, now) for job in await service.list_jobs()]}

    @router.get("/jobs/{job_id}")
    async def get_job(job_id: str) -> Response:
        try:
            job = await service.get_job(_name(job_id))
        except JobNotFoundError:
            return _unknown(job_id)
        return JSONResponse(translate.job_of_view(job, _now()))

    @router.delete("/jobs/{job_id}")
    async def cancel(job_id: str) -> Response:
        try:
            await service.cancel(_name(job_id))
        except JobNotFoundError:
            return _unknown(job_id)
        except JobFinishedError:
            return render_error(409, f"Job {job_id} has already finished", {})
        return JSONResponse({"status": "cancelled", "job_id": job_id})


def _add_results(router: APIRouter, service: Service) -> None:
    @router.get("/jobs/{job_id}/logs")
    async def logs(request: Request, job_id: str) -> Response:
        tail = translate.tail_of_query(request.query_params)
        try:
            log = await service.logs(_name(job_id), tail)
        except JobNotFoundError:
            return _unknown(job_id)
        return JSONResponse(translate.log_of(log, tail))

    @router.get("/jobs/{job_id}/output")
    async def output(request: Request, job_id: str) -> Response:
        try:
            published = await service.output(_name(job_id))
        except JobNotFoundError:
            return _unknown(job_id)
        base_url = f"{request.scope.get('root_path', '')}{_PREFIX}/jobs"
        return JSONResponse(translate.output_of(published, base_url))

    @router.api_route("/jobs/{job_id}/output/{file_name:path}", methods=["GET", "HEAD"])
    async def download(request: Request, job_id: str, file_name: str) -> Response:
        try:
            file, etag = await service.open_output(_name(job_id), file_name)
        except JobNotFoundError:
            return _unknown(job_id)
        except FileMissingError:
            return render_error(404, f"File not found: {file_name}", {})
        return attachment(file, file_name, etag, request.headers, with_body=request.method == "GET")


AINODE = Dialect(translate.NAME, build_router, render_error)


def _name(job_id: str) -> str:
    name = translate.name_of_id(job_id)
    if name is None:
        raise JobNotFoundError(job_id)
    return name


def _unknown(job_id: str) -> Response:
    return render_error(404, f"Job not found: {job_id}", {})


def _now() -> datetime:
    return datetime.now(UTC)
