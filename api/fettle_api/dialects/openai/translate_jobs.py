"""Training jobs → OpenAI's fine-tuning jobs, whoever made them. Pure.

| phase | status |
|---|---|
| Pending | validating_files |
| Queued, Suspended | queued |
| Starting, Running | running |
| Succeeded | succeeded |
| Failed | failed |
| Cancelled, or being cancelled | cancelled |
"""

import math
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from starlette.datastructures import QueryParams

from fettle_api.dialects.openai.translate import NAME, status_of_job, tuned_model_name
from fettle_api.dialects.openai.wire import AUTO, RequestError, parse_job
from fettle_api.resources.models import JobView
from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.dataset import DatasetSource
from fettle_schema.defaults import METHOD_DEFAULTS, PREFERENCE_METHODS
from fettle_schema.layout import DATASETS, UPLOADS
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.vocabulary import FailureCode

_PARAM_OF_CODE = {FailureCode.DATASET: "training_file", FailureCode.MODEL: "model"}


def job_of_view(job: JobView, namespace: str, final_metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The whole job object. `final_metrics` are what the trainer said at the end."""
    spec, status = job.spec, status_of_job(job)
    hyperparameters = _hyperparameters(job)
    evaluation = spec.dataset.evaluation if spec.dataset else None
    tokens = final_metrics.get("tokens")
    return {
        "object": "fine_tuning.job",
        "id": job.name,
        "created_at": seconds(job.created_at),
        "error": _error(job) if status == "failed" else None,
        "estimated_finish": _estimated_finish(job) if status == "running" else None,
        "fine_tuned_model": tuned_model_of_job(job) if status == "succeeded" else None,
        "finished_at": _finished_at(job),
        "hyperparameters": {name: value for name, value in hyperparameters.items() if name != "beta"},
        "integrations": _integrations(spec, job.name),
        "metadata": dict(job.metadata) if job.metadata is not None else None,
        "method": _method(spec, hyperparameters),
        "model": model_of_job(job),
        "organization_id": organization_of(namespace),
        "result_files": [result_file_id(job.name)] if status == "succeeded" else [],
        "seed": spec.hyperparameters.seed,
        "status": status,
        "trained_tokens": tokens if isinstance(tokens, int) and status == "succeeded" else None,
        "training_file": _file_of(spec.dataset.source if spec.dataset else None) or "",
        "validation_file": _file_of(evaluation.source if evaluation else None),
    }


def seconds(time: datetime) -> int:
    """Whole seconds since 1970."""
    return int(time.timestamp())


def organization_of(namespace: str) -> str:
    """The owner of everything here: one facade serves one namespace."""
    return f"org-{namespace}"


def result_file_id(job_name: str) -> str:
    """The file that holds the metrics of a job, step by step."""
    return f"file-results-{job_name}"


def model_of_job(job: JobView) -> str:
    """The base model as the request named it, or what the spec says."""
    asked = job.request.get("model") if job.dialect == NAME and job.request else None
    if isinstance(asked, str):
        return asked
    return job.spec.base_model.id or job.spec.base_model.path or ""


def tuned_model_of_job(job: JobView) -> str | None:
    """The fine-tuned model's name: for jobs of other APIs that of the Adapter, or where the model lies."""
    if job.dialect == NAME:
        asked = model_of_job(job)
        base = asked if job.spec.start_from is None else job.spec.base_model.id or job.spec.base_model.path or asked
        return tuned_model_name(base, job.run_name, job.name)
    return job.status.adapter or (job.status.output.path if job.status.output else None)


def _finished_at(job: JobView) -> int | None:
    return seconds(job.status.completion_time) if job.is_finished and job.status.completion_time else None


def _estimated_finish(job: JobView) -> int | None:
    progress = job.status.progress
    if progress is None or progress.eta_seconds is None or progress.last_report_time is None:
        return None
    if not math.isfinite(progress.eta_seconds):
        return None
    return math.ceil(progress.last_report_time.timestamp() + progress.eta_seconds)


def _error(job: JobView) -> dict[str, Any]:
    failure = job.status.failure
    code = failure.code if failure else job.status.reason or "Failed"
    message = " ".join(filter(None, (failure.message, failure.hint))) if failure else job.status.message or "It failed."
    param = next((param for known, param in _PARAM_OF_CODE.items() if known == code), None)
    return {"code": code, "message": message, "param": param}


def _method(spec: TrainingJobSpec, hyperparameters: Mapping[str, Any]) -> dict[str, Any]:
    if spec.method in PREFERENCE_METHODS:
        return {"type": "dpo", "dpo": {"hyperparameters": dict(hyperparameters)}}
    shown = {name: value for name, value in hyperparameters.items() if name != "beta"}
    return {"type": "supervised", "supervised": {"hyperparameters": shown}}


def _hyperparameters(job: JobView) -> dict[str, Any]:
    """What was asked for, else what was really used as soon as that is known, else `auto`."""
    given = job.spec.hyperparameters
    used = (job.status.resolved.hyperparameters if job.status.resolved else None) or {}
    epochs = _number(given.epochs, used.get("epochs"))
    batch_size = _number(_batch_size(job), used.get("batchSize"))
    beta = _number(given.beta, used.get("beta"))
    multiplier = _multiplier(job.spec, _number(given.learning_rate, used.get("learningRate")))
    return {
        "n_epochs": AUTO if epochs is None else math.ceil(epochs),
        "batch_size": AUTO if batch_size is None else int(batch_size),
        "learning_rate_multiplier": AUTO if multiplier is None else multiplier,
        "beta": AUTO if beta is None else beta,
    }


def _batch_size(job: JobView) -> int | None:
    """None if this API's caller left it open: the API server writes a default into every spec."""
    if job.dialect == NAME and job.request is not None:
        try:
            return parse_job(job.request).chosen.batch_size
        except RequestError:  # somebody has changed the annotation
            pass
    return job.spec.hyperparameters.batch_size


def _multiplier(spec: TrainingJobSpec, learning_rate: float | None) -> float | None:
    """Of the learning rate that method and adapter have by default."""
    if spec.hyperparameters.learning_rate_multiplier is not None:
        return spec.hyperparameters.learning_rate_multiplier
    table = METHOD_DEFAULTS.get(spec.method)
    if learning_rate is None or table is None:
        return None
    is_full = spec.adapter.type is AdapterType.NONE
    return round(learning_rate / (table.learning_rate_full if is_full else table.learning_rate), 6)


def _number(*candidates: object) -> float | None:
    """The first that JSON has as a number."""
    for value in candidates:
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            return value
    return None


def _integrations(spec: TrainingJobSpec, job_name: str) -> list[dict[str, Any]]:
    wandb = spec.tracking.wandb
    if wandb is None:
        return []
    name = wandb.run_name or job_name
    settings = {"project": wandb.project, "name": name, "entity": wandb.entity, "tags": list(wandb.tags)}
    return [{"type": "wandb", "wandb": settings}]


def _file_of(source: DatasetSource | None) -> str | None:
    """The id of an uploaded file; for data that came otherwise its name."""
    if source is None:
        return None
    if source.workspace:
        return source.workspace.path.removeprefix(f"{UPLOADS}/").removeprefix(f"{DATASETS}/")
    return source.hugging_face.id if source.hugging_face else "inline"


def metadata_of_query(query: QueryParams) -> Mapping[str, str] | None:
    """`metadata[key]=value` of a query; None for `metadata=null`, which asks for jobs without any."""
    pairs = {match[1]: value for key, value in query.items() if (match := re.fullmatch(r"metadata\[(.*)\]", key))}
    return None if query.get("metadata") == "null" and not pairs else pairs


def has_metadata(job: JobView, wanted: Mapping[str, str] | None) -> bool:
    """Whether a job has all these pairs."""
    if wanted is None:
        return job.metadata is None
    return wanted.items() <= (job.metadata or {}).items()
