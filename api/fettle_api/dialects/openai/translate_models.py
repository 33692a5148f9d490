"""Adapters, published models and names of base models → OpenAI's model objects. Pure."""

from collections.abc import Mapping

from fettle_api.adapters.views import AdapterView
from fettle_api.dialects.openai.translate import NAME, is_job_of_this_api, tuned_model_name
from fettle_api.dialects.openai.translate_jobs import organization_of, seconds, tuned_model_of_job
from fettle_api.resources.models import JobView
from fettle_schema.vocabulary import Phase


def model_of_name(name: str) -> dict[str, object]:
    """A base model; nobody knows when it was made."""
    return {"object": "model", "id": name, "created": 0, "owned_by": "system"}


def model_of_adapter(adapter: AdapterView, jobs: Mapping[str, JobView], namespace: str) -> dict[str, object]:
    """A fine-tuned model."""
    created = seconds(adapter.created_at)
    return {
        "object": "model",
        "id": model_id(adapter, jobs),
        "created": created,
        "owned_by": organization_of(namespace),
    }


def model_id(adapter: AdapterView, jobs: Mapping[str, JobView]) -> str:
    """`ft:…` for what this API made, also when the job is gone; else the Adapter's name."""
    source = adapter.spec.source.training_job
    if source is None or not is_job_of_this_api(source):
        return adapter.name
    job = jobs.get(source)
    name = tuned_model_of_job(job) if job is not None and job.dialect == NAME else None
    return name or tuned_model_name(adapter.spec.base_model.id, None, source)


def model_of_output(job: JobView, namespace: str) -> dict[str, object] | None:
    """A whole model that a job published."""
    if job.phase is not Phase.SUCCEEDED or job.output_kind != "model":
        return None
    output, created = job.status.output, seconds(job.completion_time or job.created_at)
    if output is None:
        return None
    return {"object": "model", "id": output.path, "created": created, "owned_by": organization_of(namespace)}
