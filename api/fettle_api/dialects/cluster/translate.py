"""The words of this API ↔ neutral words. Pure. Where each field goes is in crds/FIELDS.md.

| phase of a TrainingJob | status here |
|---|---|
| Pending, Queued, Suspended | `queued` |
| Starting, Running | `running` |
| Succeeded | `completed` |
| Failed | `failed` |
| Cancelled, or any other while `spec.cancel` is set | `cancelled` |
"""

import math
import re
from collections.abc import Iterable
from typing import Any

from fettle_api.adapters.views import AdapterView
from fettle_api.dialects.cluster.wire import Finding, TrainRequest, finding
from fettle_api.dialects.translation import field_of_request
from fettle_api.jobs.uuid_ids import id_of_name, name_of_id, new_id
from fettle_api.resources.models import JobRequest, JobView
from fettle_api.web.idempotency import Identity
from fettle_schema.errors import InvalidManifestError
from fettle_schema.layout import DATASETS, MODELS
from fettle_schema.names import slug
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.vocabulary import Phase

NAME = "cluster"

_DEFAULTS = TrainRequest().echo()
_TEMPLATES = {"qwen": "chatml", "qwen3": "qwen3", "chatml": "chatml", "llama3": "llama3", "mistral": "mistral"}
_TEMPLATE_NAMES = {"chatml": "qwen", "qwen3": "qwen3", "llama3": "llama3", "mistral": "mistral"}
_STATUS = {
    Phase.PENDING: "queued",
    Phase.QUEUED: "queued",
    Phase.SUSPENDED: "queued",
    Phase.STARTING: "running",
    Phase.RUNNING: "running",
    Phase.SUCCEEDED: "completed",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "cancelled",
}
_FIELD_OF_PATH = {
    "spec.method": "training_type",
    "spec.baseModel": "model_name",
    "spec.dataset.source": "dataset_version",
    "spec.dataset.template": "template",
    "spec.dataset.maxExamples": "max_samples",
    "spec.hyperparameters.maxLength": "cutoff_len",
    "spec.hyperparameters.batchSize": "batch_size",
    "spec.hyperparameters.gradientAccumulationSteps": "gradient_accumulation_steps",
    "spec.hyperparameters.learningRate": "learning_rate",
    "spec.hyperparameters.epochs": "num_epochs",
    "spec.checkpoint.everySteps": "save_steps",
    "spec.output.adapterName": "lora_name",
    "spec.output.push": "lora_hf_repo",
    "spec.startFrom": "adapter_path",
    "spec.webhook": "webhook_url",
    "spec.tracking": "tracking_backend",
}


def request_of_train(
    train: TrainRequest,
    identity: Identity,
    *,
    adapter_name: str,
    source: dict[str, Any] | None = None,
    start_adapter: str | None = None,
    tracking_project: str = "fettle",
) -> JobRequest:
    """The neutral request. `source` is where the rows are, None for an alias."""
    job_id = new_id(identity)
    spec = _spec(train, adapter_name, tracking_project)
    if source is not None:
        spec["dataset"]["source"] = source
    if start_adapter is not None:
        spec["startFrom"] = {"adapter": start_adapter}
    return JobRequest(
        name=name_of_id(job_id) or job_id,
        dialect=NAME,
        original_id=job_id,
        base_model=train.model_name,
        dataset=train.dataset_version if source is None else None,
        spec=spec,
        request=train.echo(only_given=True),
        request_digest=identity.request_digest,
    )


def warnings_of(train: TrainRequest) -> list[str]:
    """What is done otherwise than the request may expect."""
    if train.template in _TEMPLATES or train.training_type == "pt":
        return []
    return [f"template {train.template[:64]!r} is not known: the model's own chat template is used"]


def adapter_name_of(train: TrainRequest, base_model: str, adapters: Iterable[AdapterView]) -> str:
    """The Adapter's name. One name belongs to one base model, and the default names every job alike."""
    name = slug(train.lora_name)
    holder = next((adapter for adapter in adapters if adapter.name == name), None)
    if holder is None or holder.spec.base_model.id in (base_model, f"{MODELS}/{base_model}"):
        return name
    return slug(f"{train.lora_name}-{base_model}")


def _spec(train: TrainRequest, adapter_name: str, tracking_project: str) -> dict[str, Any]:
    batch_size, accumulation = _micro_batch(train)
    dataset: dict[str, Any] = {
        "template": {"name": _TEMPLATES.get(train.template, "tokenizer")},
        "maxExamples": train.max_samples,
    }
    if train.training_type == "pt":
        dataset["format"] = "text"
    output: dict[str, Any] = {"adapterName": adapter_name, "onConflict": "newVersion"}
    if train.lora_hf_repo is not None:
        output["push"] = {"repository": train.lora_hf_repo}
    spec: dict[str, Any] = {
        "method": "sft" if train.training_type == "pt" else train.training_type,
        "adapter": {"type": "lora"},
        "dataset": dataset,
        "hyperparameters": {
            "epochs": train.num_epochs,
            "batchSize": batch_size,
            "gradientAccumulationSteps": accumulation,
            "learningRate": train.learning_rate,
            "maxLength": train.cutoff_len,
        },
        "checkpoint": {"everySteps": train.save_steps},
        "output": output,
    }
    if train.webhook_url is not None:
        spec["webhook"] = {"url": train.webhook_url, "format": "cluster"}
    if train.tracking is not None:
        field = "project" if train.tracking == "wandb" else "experiment"
        spec["tracking"] = {train.tracking: {field: tracking_project}}
    return spec


def _micro_batch(train: TrainRequest) -> tuple[int, int]:
    """KTO compares the examples of a micro-batch, so it needs two; the step keeps its number of examples."""
    if train.training_type == "kto" and train.batch_size == 1:
        return 2, math.ceil(train.gradient_accumulation_steps / 2)
    return train.batch_size, train.gradient_accumulation_steps


def findings_of(error: InvalidManifestError) -> list[Finding]:
    """What the core refused, by the names that the request has for it."""
    return [finding(field_of_request(found.path, _FIELD_OF_PATH), found.message) for found in error.errors]


def status_of_job(job: JobView) -> str:
    """One of five words; a job that is being stopped counts as cancelled at once."""
    return _STATUS[job.visible_phase]


def job_of_view(job: JobView) -> dict[str, Any]:
    """The whole job object."""
    start, end, output = job.status.start_time, job.status.completion_time, job.status.output
    return {
        "job_id": id_of_name(job.name),
        "status": status_of_job(job),
        "config": config_of_view(job),
        "start_time": start.timestamp() if start else None,
        "end_time": end.timestamp() if end else None,
        "tracking_url": None,
        "error": job.status.failure.message if job.phase is Phase.FAILED and job.status.failure else None,
        "output_path": output.path if output else None,
    }


def config_of_view(job: JobView) -> dict[str, Any]:
    """The request as it came, with defaults, or what the spec says in this API's words for a job made elsewhere."""
    if job.dialect == NAME and job.request is not None:
        return {**_DEFAULTS, **{name: value for name, value in job.request.items() if name in _DEFAULTS}}
    return _config_of_spec(job.spec)


def _config_of_spec(spec: TrainingJobSpec) -> dict[str, Any]:
    values, dataset, start = spec.hyperparameters, spec.dataset, spec.start_from
    known = {
        "model_name": spec.base_model.id or spec.base_model.path,
        "dataset_version": _dataset_name(spec),
        "template": _TEMPLATE_NAMES.get(dataset.template.name, dataset.template.name) if dataset else None,
        "cutoff_len": values.max_length,
        "max_samples": dataset.max_examples if dataset else None,
        "batch_size": values.batch_size,
        "gradient_accumulation_steps": values.gradient_accumulation_steps,
        "learning_rate": values.learning_rate,
        "num_epochs": values.epochs,
        "save_steps": spec.checkpoint.every_steps,
        "lora_name": spec.output.adapter_name,
        "lora_hf_repo": spec.output.push.repository if spec.output.push else None,
        "adapter_path": start.adapter if start else None,
        "tracking_backend": "wandb" if spec.tracking.wandb else "mlflow" if spec.tracking.mlflow else None,
        "training_type": "pt" if dataset and dataset.format == "text" else str(spec.method),
    }
    return {**_DEFAULTS, **{name: value for name, value in known.items() if value is not None}}


def _dataset_name(spec: TrainingJobSpec) -> str | None:
    source = spec.dataset.source if spec.dataset else None
    if source is None:
        return None
    if source.workspace:
        name = re.sub(rf"^{DATASETS}/", "", source.workspace.path)
        return f"{name}:{source.workspace.version}" if source.workspace.version else name
    return source.hugging_face.id if source.hugging_face else "inline"
