"""The training-cluster API over HTTP: the table of contents, and all that is read."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.cluster import translate
from fettle_api.dialects.cluster.refusals import in_words_of_cluster, render_error
from fettle_api.dialects.cluster.submission import add_submission
from fettle_api.dialects.cluster.wire_answers import (
    CancelledAnswer,
    ErrorAnswer,
    JobAnswer,
    JobsAnswer,
    OverviewAnswer,
    QueueAnswer,
)
from fettle_api.dialects.dialect import Dialect
from fettle_api.jobs.queue import job_queue
from fettle_api.jobs.uuid_ids import id_of_name, resource_name
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.documentation import documented
from fettle_api.web.slices import in_slices
from fettle_schema.base import VERSION

_TITLE = "Model Training API"
_OVERVIEW = {
    "name": _TITLE,
    "version": VERSION,
    "description": "Fine-tuning of language models: jobs, their queue, and adapters as their results",
    "endpoints": [
        {"method": "GET", "path": "/", "description": "This overview"},
        {"method": "POST", "path": "/train", "description": "Start a training job; ?strategy=queue|reject"},
        {"method": "GET", "path": "/train", "description": "All training jobs"},
        {"method": "GET", "path": "/train/{job_id}", "description": "One training job"},
        {"method": "DELETE", "path": "/train/{job_id}", "description": "Cancel a training job"},
        {"method": "GET", "path": "/queue", "description": "The queue"},
    ],
}


def build_router(service: Service, settings: ApiSettings) -> APIRouter:
    """All routes of this API."""
    router = APIRouter()

    @router.get("/", **documented({200: OverviewAnswer}))
    async def overview() -> Response:
        """What this API is."""
        return JSONResponse(_OVERVIEW)

    add_submission(router, service, settings)
    _add_jobs(router, service)

    @router.get("/queue", **documented({200: QueueAnswer}))
    async def queue() -> Response:
        """What runs and what waits."""
        found = job_queue(await service.jobs.all())
        waiting = [id_of_name(job.name) for job in found.waiting]
        return JSONResponse(
            {"is_training_running": bool(found.running), "queue_length": len(waiting), "queued_jobs": waiting}
        )

    return router


def _add_jobs(router: APIRouter, service: Service) -> None:
    @router.get("/train", **documented({200: JobsAnswer}))
    async def list_jobs() -> Response:
        """All jobs, in order of arrival."""
        return JSONResponse(await in_slices(await service.jobs.all(), translate.job_of_view))

    @router.get("/train/{job_id}", **documented({200: JobAnswer}, (404,)))
    async def get_job(job_id: str) -> Response:
        """One job."""
        with in_words_of_cluster(job_id):
            return JSONResponse(translate.job_of_view(await service.jobs.get(resource_name(job_id))))

    @router.delete("/train/{job_id}", **documented({200: CancelledAnswer}, (400, 404)))
    async def cancel(job_id: str) -> Response:
        """Cancel a job that waits or runs; it stays listed."""
        with in_words_of_cluster(job_id):
            await service.jobs.cancel(resource_name(job_id))
        return JSONResponse({"status": "cancelled", "message": f"Training job {job_id} cancelled"})


CLUSTER = Dialect(translate.NAME, build_router, render_error, ErrorAnswer, _TITLE, page_paths=("/docs", "/redoc"))
