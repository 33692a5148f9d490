"""Adapters: list, info, load, unload, delete."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from fettle_api.adapters.views import AdapterView
from fettle_api.dialects.qlora.refusals import about_adapter
from fettle_api.dialects.qlora.translate import adapter_resource
from fettle_api.dialects.qlora.translate_adapters import adapter_of, adapters_of, name_of_adapter, source_job
from fettle_api.dialects.qlora.wire_answers import (
    AdapterAnswer,
    AdaptersAnswer,
    DeletedAnswer,
    LoadedAnswer,
    UnloadedAnswer,
)
from fettle_api.resources.models import JobView
from fettle_api.service import Service
from fettle_api.web.documentation import documented

_ADAPTERS = "/api/adapters"
_ADAPTER = f"{_ADAPTERS}/{{adapter_name}}"


def add_adapters(router: APIRouter, service: Service) -> None:
    """All routes below /api/adapters; static paths come first."""

    @router.post(f"{_ADAPTERS}/unload", **documented({200: UnloadedAnswer}, (400, 404, 502)))
    async def unload() -> Response:
        """Unload the adapter that is loaded."""
        with about_adapter("", "unload"):
            adapter = await service.serving.unload()
        name = name_of_adapter(adapter, source_job(adapter, await _jobs(service)))
        return JSONResponse(_done(name, "unloaded"))

    @router.post(f"{_ADAPTER}/load", **documented({200: LoadedAnswer}, (400, 404, 502)))
    async def load(adapter_name: str) -> Response:
        """Load an adapter; it answers from now on, and the one before is unloaded."""
        with about_adapter(adapter_name, "load"):
            await service.serving.load(adapter_resource(adapter_name))
        return JSONResponse(_done(adapter_name, "loaded"))

    @router.delete(_ADAPTER, **documented({200: DeletedAnswer}, (400, 404, 502)))
    async def delete(adapter_name: str) -> Response:
        """Delete an adapter with its files; one that is loaded is unloaded first."""
        with about_adapter(adapter_name, "delete"):
            await service.serving.delete(adapter_resource(adapter_name))
        return JSONResponse(_done(adapter_name, "deleted"))

    @router.get(_ADAPTERS, **documented({200: AdaptersAnswer}))
    async def list_adapters() -> Response:
        """All adapters, the newest first."""
        adapters, jobs = await service.adapters.all(), await _jobs(service)
        loaded, current = await service.serving.loaded(), await service.serving.current()
        return JSONResponse(adapters_of(adapters, jobs, loaded, current.name if current else None))

    @router.get(_ADAPTER, **documented({200: AdapterAnswer}, (404,)))
    async def get_adapter(adapter_name: str) -> Response:
        """One adapter."""
        with about_adapter(adapter_name, "read"):
            adapter = await _ready(service, adapter_name)
        loaded = await service.serving.loaded()
        return JSONResponse(adapter_of(adapter, source_job(adapter, await _jobs(service)), adapter.name in loaded))


async def _ready(service: Service, name: str) -> AdapterView:
    """Raises AdapterNotFoundError, also for one whose files nobody has seen yet."""
    return await service.adapters.get_ready(adapter_resource(name))


async def _jobs(service: Service) -> dict[str, JobView]:
    return {job.name: job for job in await service.jobs.all()}


def _done(name: str, status: str) -> dict[str, str]:
    return {"adapter_name": name, "status": status, "message": f"Adapter {name} {status} successfully"}
