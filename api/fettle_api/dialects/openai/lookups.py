"""What the names in a request stand for: files that were uploaded, and models that were fine-tuned here."""

from fettle_api.adapters.views import AdapterView
from fettle_api.datasets.uploads import UploadView
from fettle_api.dialects.openai.refusals import no_such_model
from fettle_api.dialects.openai.translate import Found, job_of_tuned_model
from fettle_api.dialects.openai.translate_files import FINE_TUNE, purpose_of
from fettle_api.dialects.openai.translate_models import model_of_adapter, model_of_name, model_of_output
from fettle_api.dialects.openai.wire import JobBody, RequestError
from fettle_api.errors import DatasetNotFoundError
from fettle_api.service import Service
from fettle_schema.layout import MODELS

_LINES = (".jsonl", ".ndjson")


async def look_up(service: Service, body: JobBody, aliases: frozenset[str]) -> Found:
    """Raises RequestError."""
    training_file = await _training_file(service, body.training_file, "training_file")
    if body.validation_file is not None:
        await _training_file(service, body.validation_file, "validation_file")
    columns: frozenset[str] = frozenset()
    if training_file.file.name.endswith(_LINES):
        columns = frozenset(await service.uploads.first_row(training_file.id))
    model = body.model.strip()
    adapter = None if model in aliases else await find_adapter(service, model)
    if adapter is not None:
        return Found(adapter.spec.base_model.id, adapter.name, columns)
    if model.startswith("ft:"):
        raise RequestError(f"There is no fine-tuned model {model[:128]!r}.", "model", "model_not_found")
    return Found(model, None, columns)


async def find_adapter(service: Service, model: str) -> AdapterView | None:
    """The Adapter that a model's name stands for: `ft:…` by the job that made it, else the Adapter's own name."""
    job_name = job_of_tuned_model(model)
    for adapter in await service.adapters.all():
        if adapter.name == model or (job_name is not None and adapter.spec.source.training_job == job_name):
            return adapter
    return None


async def list_of_models(service: Service, aliases: frozenset[str], namespace: str) -> list[dict[str, object]]:
    """Base models that the installation names or has, and what was trained here."""
    jobs = {job.name: job for job in await service.jobs.all()}
    tuned = [model_of_adapter(adapter, jobs, namespace) for adapter in await service.adapters.all()]
    whole = [model for job in jobs.values() if (model := model_of_output(job, namespace)) is not None]
    published = {model["id"] for model in whole}
    present = [name for name in await service.base_models.with_tokenizer() if f"{MODELS}/{name}" not in published]
    return [*map(model_of_name, dict.fromkeys([*sorted(aliases), *present])), *tuned, *whole]


async def find_model(service: Service, model: str, aliases: frozenset[str], namespace: str) -> dict[str, object]:
    """One of them. Raises an HTTPException 404."""
    adapter = None if model in aliases else await find_adapter(service, model)
    if adapter is not None:
        return model_of_adapter(adapter, {job.name: job for job in await service.jobs.all()}, namespace)
    known = await list_of_models(service, aliases, namespace)
    found = next((one for one in known if one["id"] == model), None)
    if found is None:
        raise no_such_model(model)
    return found


async def _training_file(service: Service, file_id: str, param: str) -> UploadView:
    try:
        upload = await service.uploads.get(file_id)
    except DatasetNotFoundError:
        raise RequestError(f"invalid {param}: there is no file {file_id!r}", param, f"invalid_{param}") from None
    if purpose_of(upload) != FINE_TUNE:
        message = f"invalid {param}: file {file_id!r} has the purpose {purpose_of(upload)!r}; {FINE_TUNE!r} is needed"
        raise RequestError(message, param, f"invalid_{param}")
    return upload
