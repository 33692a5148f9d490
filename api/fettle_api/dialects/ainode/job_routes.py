"""Jobs: submit, list, get, cancel, merge, resume."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.ainode import translate, translate_results
from fettle_api.dialects.ainode.refusals import in_words_of_ainode, resource_name
from fettle_api.dialects.ainode.template_routes import find_template
from fettle_api.dialects.ainode.templates import filled
from fettle_api.dialects.ainode.wire import MergeRequest, ResumeRequest, TrainingConfig, parse_config, parse_request
from fettle_api.dialects.ainode.wire_answers import CancelledAnswer, JobAnswer, JobsAnswer, MergeAnswer, ResumeAnswer
from fettle_api.errors import (
    CheckpointNotFoundError,
    FileMissingError,
    JobFinishedError,
    JobStateError,
    NothingToMergeError,
)
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_object, read_optional_object
from fettle_api.web.callers import identity_of
from fettle_api.web.documentation import documented
from fettle_api.web.slices import in_slices

JOBS = "/api/training/jobs"
_DERIVED: dict[str, Any] = {"is_body_required": False, "takes_key": True}


def add_jobs(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """What there is to do with a job."""

    @router.post(JOBS, **documented({201: JobAnswer}, (400, 507), body=TrainingConfig, takes_key=True))
    async def submit(request: Request) -> Response:
        """Submit a training job."""
        with in_words_of_ainode():
            body = await read_object(request, settings.max_body_bytes)
            template = await find_template(service, body)
            config = parse_config(filled(body, template), is_known_template=template is not None)
            job_request = translate.request_of_config(config, identity_of(request, translate.NAME, body), template)
            job = await service.submissions.submit(job_request)
        return JSONResponse(translate.job_of_view(job, service.clock()), 201)

    @router.get(JOBS, **documented({200: JobsAnswer}))
    async def list_jobs() -> Response:
        """All jobs, in order of arrival."""
        now = service.clock()
        jobs = await in_slices(await service.jobs.all(), lambda job: translate.job_of_view(job, now))
        return JSONResponse({"jobs": jobs})

    @router.get(f"{JOBS}/{{job_id}}", **documented({200: JobAnswer}, (404,)))
    async def get_job(job_id: str) -> Response:
        """Status and progress of a job."""
        with in_words_of_ainode(job_id):
            job = await service.jobs.get(resource_name(job_id))
        return JSONResponse(translate.job_of_view(job, service.clock()))

    @router.delete(f"{JOBS}/{{job_id}}", **documented({200: CancelledAnswer}, (404, 409)))
    async def cancel(job_id: str) -> Response:
        """Cancel a job; it stays listed."""
        with in_words_of_ainode(job_id):
            try:
                await service.jobs.cancel(resource_name(job_id))
            except JobFinishedError:
                raise HTTPException(409, f"Job {job_id} has already finished") from None
        return JSONResponse({"status": "cancelled", "job_id": job_id})


def add_merge(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """A job that merges another one's adapter."""

    @router.post(
        f"{JOBS}/{{job_id}}/merge", **documented({202: MergeAnswer}, (400, 404, 409), body=MergeRequest, **_DERIVED)
    )
    async def merge(request: Request, job_id: str) -> Response:
        """Merge the adapter of a completed job into its base model, as a job of its own."""
        with in_words_of_ainode(job_id):
            body = await read_optional_object(request, settings.max_body_bytes)
            output_dir = parse_request(MergeRequest, body).output_dir
            identity = identity_of(request, translate.NAME, body)
            words = {
                "output_dir": output_dir,
                "run_name": f"merge-{job_id}",
                "description": f"LoRA merge from job {job_id}",
            }
            try:
                merged = await service.derivations.merge(
                    resource_name(job_id), lambda source: translate.derived_request(source, identity, words)
                )
            except JobStateError:
                raise HTTPException(409, f"Job {job_id} must be completed to be merged") from None
            except NothingToMergeError:
                raise HTTPException(400, f"Merge only applies to lora and qlora jobs; {job_id} is none") from None
            except FileMissingError:
                raise HTTPException(404, f"Output directory not found: the files of job {job_id} are gone") from None
        base_url = f"{request.scope.get('root_path', '')}{JOBS}"
        return JSONResponse(translate_results.merged_of(merged, output_dir, base_url), 202)


def add_resume(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """A job that goes on where another one ended."""

    @router.post(
        f"{JOBS}/{{job_id}}/resume", **documented({201: ResumeAnswer}, (400, 404, 409), body=ResumeRequest, **_DERIVED)
    )
    async def resume(request: Request, job_id: str) -> Response:
        """Go on from a checkpoint of a job that has ended, as a job of its own."""
        with in_words_of_ainode(job_id):
            body = await read_optional_object(request, settings.max_body_bytes)
            wanted = parse_request(ResumeRequest, body).checkpoint
            identity = identity_of(request, translate.NAME, body)
            try:
                resumed = await service.derivations.resume(
                    resource_name(job_id),
                    wanted or None,
                    lambda source, checkpoint: translate.derived_request(
                        source,
                        identity,
                        {
                            "run_name": f"resume-{job_id}",
                            "description": f"Resumed from {checkpoint.name} of job {job_id}",
                        },
                    ),
                )
            except JobStateError:
                raise HTTPException(409, f"Job {job_id} has not ended; only ended jobs can be resumed") from None
            except CheckpointNotFoundError as error:
                raise HTTPException(404, _no_checkpoint(wanted, error.available)) from None
        return JSONResponse(translate_results.resumed_of(resumed), 201)


def _no_checkpoint(wanted: str | None, available: list[str]) -> str:
    if not available:
        return "No checkpoints found"
    return f"Checkpoint not found: {wanted}. Available: {', '.join(available)}"
