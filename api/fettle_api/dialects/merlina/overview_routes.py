"""What concerns no single job: what this is, counts, queue, GPUs."""

from fastapi import APIRouter, HTTPException, Request
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.merlina import translate_jobs, translate_machine
from fettle_api.dialects.merlina.refusals import whole_number
from fettle_api.dialects.merlina.wire import unprocessable
from fettle_api.dialects.merlina.wire_answers import (
    ApiAnswer,
    AvailableGpusAnswer,
    GpusAnswer,
    OneGpuAnswer,
    QueueAnswer,
    QueueJobsAnswer,
    RecommendedGpuAnswer,
    StatsAnswer,
    VersionAnswer,
)
from fettle_api.gpus import GpuView
from fettle_api.jobs.queue import job_queue
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.documentation import documented

VERSION = "1.1.0"
"""Of the document that is served."""
_LEAST_FREE_MB = 4000
_API = {
    "name": "Merlina",
    "version": "1.0.0",  # as the document has it
    "description": "Magical Model Training Backend",
    "endpoints": {
        "POST /train": "Start a new training job",
        "GET /status/{job_id}": "Get job status",
        "GET /jobs": "List all jobs",
        "GET /api/docs": "API documentation",
    },
}


def add_overview(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """What this is, counts, and the queue."""

    @router.get("/", **documented({200: ApiAnswer}))
    @router.get("/api", **documented({200: ApiAnswer}))
    async def api() -> Response:
        """What this is."""
        return JSONResponse(_API)

    @router.get("/version", **documented({200: VersionAnswer}))
    async def version() -> Response:
        """The version of the API."""
        return JSONResponse({"version": VERSION})

    @router.get("/stats", **documented({200: StatsAnswer}))
    async def stats() -> Response:
        """Counts of jobs, metrics, connections and the queue."""
        jobs, usage = await service.jobs.all(), await service.job_storage.usage()
        queue = translate_jobs.queue_stats(job_queue(jobs), settings.max_running_jobs)
        return JSONResponse(translate_jobs.stats_of(jobs, usage, service.live.follower_count, queue))

    @router.get("/queue/status", **documented({200: QueueAnswer}))
    async def queue_status() -> Response:
        """Counts and jobs of the queue."""
        queue = job_queue(await service.jobs.all())
        return JSONResponse(
            {
                "stats": translate_jobs.queue_stats(queue, settings.max_running_jobs),
                "queued_jobs": translate_jobs.queued_entries(queue),
                "running_jobs": translate_jobs.running_entries(queue),
            }
        )

    @router.get("/queue/jobs", **documented({200: QueueJobsAnswer}))
    async def queue_jobs() -> Response:
        """Jobs of the queue."""
        queue = job_queue(await service.jobs.all())
        queued, running = translate_jobs.queued_entries(queue), translate_jobs.running_entries(queue)
        return JSONResponse({"queued": queued, "running": running})


def add_gpus(router: APIRouter, service: Service) -> None:
    """GPUs. Where nobody can say which there are, the answer is that there is no CUDA."""

    async def known() -> list[GpuView]:
        return await service.gpus.all() or []

    async def present() -> list[GpuView]:
        gpus = await known()
        if not gpus:
            raise HTTPException(404, translate_machine.NO_CUDA)
        return gpus

    @router.get("/gpu/list", **documented({200: GpusAnswer}))
    async def list_gpus() -> Response:
        """All GPUs."""
        return JSONResponse(translate_machine.gpus_of(await known()))

    query = {"min_free_memory_mb": {"type": "integer", "minimum": 0, "default": _LEAST_FREE_MB}}

    @router.get("/gpu/available", **documented({200: AvailableGpusAnswer}, (422,), query=query))
    async def available(request: Request) -> Response:
        """GPUs with enough free memory."""
        least = whole_number(request.query_params, "min_free_memory_mb", _LEAST_FREE_MB)
        return JSONResponse(translate_machine.available_of(await known(), least))

    @router.get("/gpu/recommended", **documented({200: RecommendedGpuAnswer}, (404,)))
    async def recommended() -> Response:
        """The GPU with the most free memory."""
        return JSONResponse(translate_machine.recommended_of(await present()))

    @router.get("/gpu/{index}", **documented({200: OneGpuAnswer}, (404, 422)))
    async def one(index: str) -> Response:
        """One GPU."""
        if not index.removeprefix("-").isascii() or not index.removeprefix("-").isdecimal() or len(index) > 9:
            raise unprocessable([(("path", "index"), "Input should be a valid integer", "int_parsing")])
        found = next((gpu for gpu in await present() if gpu.index == int(index)), None)
        if found is None:
            raise HTTPException(404, f"GPU {int(index)} not found")
        return JSONResponse({"status": "success", "gpu": translate_machine.gpu_of(found)})
