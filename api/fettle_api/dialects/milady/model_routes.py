"""Models, which completed jobs made: list, benchmark, activate, import into Ollama."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.milady import translate_models
from fettle_api.dialects.milady.refusals import in_words_of_milady, model_job_name
from fettle_api.dialects.milady.translate import has_model
from fettle_api.dialects.milady.wire import ActivateRequest, ImportRequest, parse_request
from fettle_api.dialects.milady.wire_answers import ActivatedAnswer, BenchmarkAnswer, ImportedAnswer, ModelsAnswer
from fettle_api.errors import JobNotFoundError
from fettle_api.jobs.benchmarks import can_be_benchmarked
from fettle_api.ollama.imports import OllamaImport
from fettle_api.progress.announcements import Announcement, Happening
from fettle_api.resources.models import JobView
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_optional_object
from fettle_api.web.documentation import documented

MODELS = "/api/training/models"
_MISSING = "Model not found"


def add_models(router: APIRouter, service: Service) -> None:
    """What there is."""

    @router.get(MODELS, **documented({200: ModelsAnswer}))
    async def list_models() -> Response:
        """All fine-tuned models, the newest first."""
        active = await service.activation.get()
        jobs = [job for job in reversed(await service.jobs.all()) if has_model(job)]
        found = [translate_models.model_of(job, await service.benchmarks.find(job), active) for job in jobs]
        return JSONResponse({"models": found})


def add_import(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """Into Ollama."""

    @router.post(
        f"{MODELS}/{{model_id}}/import-ollama",
        **documented({200: ImportedAnswer}, (400, 404, 409, 502), body=ImportRequest, is_body_required=False),
    )
    async def import_ollama(request: Request, model_id: str) -> Response:
        """Import a model into Ollama: as an adapter where Ollama converts it, else merged.

        A large model takes longer than a caller may wait; the import goes on, and the same call later tells its end.
        """
        with in_words_of_milady(_MISSING):
            body = await read_optional_object(request, settings.max_body_bytes)
            wanted = parse_request(ImportRequest, body)
            service.ollama_imports.check(wanted.ollama_url)
            job = await _source(service, model_id)
            name = wanted.model_name or translate_models.model_name_of(job)
            job = await service.ollama_imports.run(job, OllamaImport(wanted.ollama_url, name, wanted.base_model))
        _announce(service, Happening.MODEL_IMPORTED, f"Model imported into Ollama as {name}", job)
        return JSONResponse({"model": translate_models.imported_of(await _model(service, job), job)})


def add_activation(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """The one that is used."""

    @router.post(
        f"{MODELS}/{{model_id}}/activate",
        **documented({200: ActivatedAnswer}, (400, 404, 409), body=ActivateRequest, is_body_required=False),
    )
    async def activate(request: Request, model_id: str) -> Response:
        """Make a model the active one, instead of whichever was."""
        with in_words_of_milady(_MISSING):
            body = await read_optional_object(request, settings.max_body_bytes)
            wanted = parse_request(ActivateRequest, body).provider_model
            job = await _source(service, model_id)
            name = wanted or (job.ollama.name if job.ollama else None)
            if name is None:
                raise HTTPException(400, "providerModel is required: the model was not imported into Ollama yet")
            active = await service.activation.activate(job, name)
        _announce(service, Happening.MODEL_ACTIVATED, f"Model activated: {name}", job)
        return JSONResponse({"ok": True, "activeModel": active.provider_model})


def add_benchmark(router: APIRouter, service: Service) -> None:
    """How good it is."""

    @router.post(f"{MODELS}/{{model_id}}/benchmark", **documented({200: BenchmarkAnswer}, (400, 404, 409)))
    async def benchmark(model_id: str) -> Response:
        """Scores of a model, which was benchmarked when its job finished; if not, that is begun now.

        409 while it runs: the same call later has the scores. docs/scores.md says how they are made.
        """
        with in_words_of_milady(_MISSING):
            job = await _source(service, model_id)
            if not can_be_benchmarked(job):
                raise HTTPException(409, "There is no data to benchmark this model with")
            found = await service.benchmarks.run(job)
        return JSONResponse(translate_models.benchmark_of(job, found))


async def _source(service: Service, model_id: str) -> JobView:
    """The job that made a model. Raises JobNotFoundError."""
    job = await service.jobs.get(model_job_name(model_id))
    if not has_model(job):
        raise JobNotFoundError(model_id)
    return job


async def _model(service: Service, job: JobView) -> dict[str, Any]:
    active = await service.activation.get()
    return translate_models.model_of(job, await service.benchmarks.find(job), active)


def _announce(service: Service, happening: Happening, message: str, job: JobView) -> None:
    service.announcements.announce(Announcement(happening, service.clock(), message, job_name=job.name))
