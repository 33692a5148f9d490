"""The words of this API about jobs ↔ neutral words. Pure. Where each field goes is in crds/FIELDS.md.

| phase of a TrainingJob | status here |
|---|---|
| Pending, Queued, Suspended | `pending` |
| Starting, Running | `running` |
| Succeeded | `completed` |
| Failed | `failed` |
| Cancelled, or any other while `spec.cancel` is set | `cancelled` |
"""

from datetime import UTC, datetime
from typing import Any

from fettle_api.dialects.qlora.wire import MODELS, LoraConfig, StartRequest, TrainingConfig
from fettle_api.dialects.translation import field_of_request, finite, plain
from fettle_api.jobs.uuid_ids import id_of_name, name_of_id, new_id
from fettle_api.resources.models import JobRequest, JobView
from fettle_api.web.idempotency import Identity
from fettle_schema.errors import InvalidManifestError
from fettle_schema.layout import ADAPTERS
from fettle_schema.names import job_directory, slug
from fettle_schema.vocabulary import Phase

NAME = "qlora"

_LORA_DEFAULTS = LoraConfig().model_dump(exclude_none=True)
_TRAINING_DEFAULTS = TrainingConfig().model_dump()
_STATUS = {
    Phase.PENDING: "pending",
    Phase.QUEUED: "pending",
    Phase.SUSPENDED: "pending",
    Phase.STARTING: "running",
    Phase.RUNNING: "running",
    Phase.SUCCEEDED: "completed",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "cancelled",
}
_FIELD_OF_PATH = {
    "spec.baseModel": "model_name",
    "spec.dataset": "train_texts",
    "spec.adapter.rank": "lora_config.r",
    "spec.adapter.alpha": "lora_config.lora_alpha",
    "spec.adapter.dropout": "lora_config.lora_dropout",
    "spec.adapter.targetModules": "lora_config.target_modules",
    "spec.adapter.modulesToSave": "lora_config.modules_to_save",
    "spec.adapter": "lora_config",
    "spec.hyperparameters.epochs": "training_config.num_epochs",
    "spec.hyperparameters.batchSize": "training_config.batch_size",
    "spec.hyperparameters.learningRate": "training_config.learning_rate",
    "spec.hyperparameters.maxSteps": "training_config.max_steps",
    "spec.hyperparameters.gradientAccumulationSteps": "training_config.gradient_accumulation_steps",
    "spec.hyperparameters.warmupSteps": "training_config.warmup_steps",
    "spec.hyperparameters.loggingSteps": "training_config.logging_steps",
    "spec.hyperparameters.maxLength": "training_config.max_seq_length",
    "spec.checkpoint.everySteps": "training_config.save_steps",
    "spec.output.adapterName": "adapter_name",
}


def request_of_start(start: StartRequest, identity: Identity, aliases: frozenset[str]) -> JobRequest:
    """The neutral request, without the rows. `aliases` are the installation's names for models."""
    job_id = new_id(identity)
    is_alias = start.model_name in aliases
    return JobRequest(
        name=name_of_id(job_id) or job_id,
        dialect=NAME,
        original_id=job_id,
        base_model=start.model_name if is_alias else MODELS.get(start.model_name, start.model_name),
        dataset=None,
        spec=_spec(start),
        request=start.echo(),
        description=start.description,
        request_digest=identity.request_digest,
    )


def adapter_resource(name: str) -> str:
    """The Adapter that a name of this API means: a job's id, or a free name."""
    return name_of_id(name) or slug(name)


def _spec(start: StartRequest) -> dict[str, Any]:
    lora, training = start.lora_config, start.training_config
    adapter: dict[str, Any] = {
        "type": "qlora",
        "rank": lora.r,
        "alpha": lora.lora_alpha,
        "dropout": lora.lora_dropout,
        "targetModules": lora.target_modules,
        "bias": lora.bias,
    }
    if lora.modules_to_save:
        adapter["modulesToSave"] = lora.modules_to_save
    hyperparameters: dict[str, Any] = {
        "epochs": training.num_epochs,
        "batchSize": training.batch_size,
        "learningRate": training.learning_rate,
        "gradientAccumulationSteps": training.gradient_accumulation_steps,
        "warmupSteps": training.warmup_steps,
        "loggingSteps": training.logging_steps,
        "maxLength": training.max_seq_length,
    }
    if training.max_steps > 0:
        hyperparameters["maxSteps"] = training.max_steps
    spec: dict[str, Any] = {
        "method": "sft",
        "dataset": {"format": "text"},
        "adapter": adapter,
        "hyperparameters": hyperparameters,
        "checkpoint": {"everySteps": training.save_steps},
    }
    if start.adapter_name is not None:
        spec["output"] = {"adapterName": adapter_resource(start.adapter_name), "onConflict": "newVersion"}
    return spec


def finding_of(error: InvalidManifestError) -> str:
    """What the core refused, by the names that the request has for it."""
    return "; ".join(f"{field_of_request(finding.path, _FIELD_OF_PATH)}: {finding.message}" for finding in error.errors)


def status_of_job(job: JobView) -> str:
    """One of five words; a job that is being stopped counts as cancelled at once."""
    return _STATUS[job.visible_phase]


def summary_of_view(job: JobView) -> dict[str, Any]:
    """A job in the list."""
    progress, status = job.status.progress, status_of_job(job)
    percent = 100.0 if status == "completed" else (progress.percent if progress else None) or 0.0
    return {
        "job_id": id_of_name(job.name),
        "model_name": model_of_view(job),
        "status": status,
        "progress": round(percent, 1),
        "created_at": time_of(job.created_at),
        "started_at": time_of(job.status.start_time),
        "completed_at": time_of(job.status.completion_time),
    }


def job_of_view(job: JobView) -> dict[str, Any]:
    """A job by itself."""
    progress, failure, request = job.status.progress, job.status.failure, _own_request(job)
    loss = finite(progress.loss if progress else None)
    training = training_config_of(job)
    learning_rate = finite(progress.learning_rate if progress else None)
    return {
        **summary_of_view(job),
        "current_step": (progress.step if progress else None) or 0,
        "total_steps": (progress.total_steps if progress else None) or 0,
        "current_loss": loss,
        "learning_rate": training["learning_rate"] if learning_rate is None else learning_rate,
        "metrics": {"train_loss": loss, "eval_loss": finite(progress.eval_loss if progress else None)},
        "adapter_path": _adapter_path(job),
        "error_message": failure.message if failure and job.phase is Phase.FAILED else None,
        "lora_config": lora_config_of(job),
        "training_config": training,
        "output_dir": request.get("output_dir") or job_directory(job.name, job.uid),
    }


def model_of_view(job: JobView) -> str:
    """The model's name as the request had it, or as the spec has it."""
    named = _own_request(job).get("model_name")
    return named if isinstance(named, str) else job.spec.base_model.id or job.spec.base_model.path or ""


def lora_config_of(job: JobView) -> dict[str, Any]:
    """`lora_config` with the API's defaults, or what the spec of a job made elsewhere says."""
    spec, request = job.spec.adapter, _own_request(job)
    if request:
        return _plain({**_LORA_DEFAULTS, **_known(request.get("lora_config"), LoraConfig)})
    known = {
        "r": spec.rank,
        "lora_alpha": spec.alpha,
        "lora_dropout": spec.dropout,
        "target_modules": spec.target_modules,
        "bias": spec.bias,
        "modules_to_save": spec.modules_to_save,
    }
    return _plain({**_LORA_DEFAULTS, **{name: value for name, value in known.items() if value is not None}})


def training_config_of(job: JobView) -> dict[str, Any]:
    """The same of `training_config`."""
    values, request = job.spec.hyperparameters, _own_request(job)
    if request:
        return _plain({**_TRAINING_DEFAULTS, **_known(request.get("training_config"), TrainingConfig)})
    known = {
        "num_epochs": values.epochs,
        "batch_size": values.batch_size,
        "learning_rate": values.learning_rate,
        "max_steps": values.max_steps,
        "gradient_accumulation_steps": values.gradient_accumulation_steps,
        "warmup_steps": values.warmup_steps,
        "logging_steps": values.logging_steps,
        "save_steps": job.spec.checkpoint.every_steps,
        "max_seq_length": values.max_length,
    }
    return _plain({**_TRAINING_DEFAULTS, **{name: value for name, value in known.items() if value is not None}})


def time_of(time: datetime | None) -> str | None:
    """ISO 8601 in UTC, without a zone, as this API has it."""
    return None if time is None else time.astimezone(UTC).replace(tzinfo=None).isoformat()


def _own_request(job: JobView) -> dict[str, Any]:
    """What came through this API; empty for a job from elsewhere."""
    return dict(job.request) if job.dialect == NAME and job.request is not None else {}


def _known(value: object, model: type[LoraConfig] | type[TrainingConfig]) -> dict[str, Any]:
    """Annotations can be anybody's: only fields of the API, and none that is null."""
    given = value if isinstance(value, dict) else {}
    return {name: item for name, item in given.items() if name in model.model_fields and item is not None}


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    return {name: plain(value) for name, value in values.items()}


def _adapter_path(job: JobView) -> str:
    """Where the adapter is, or the directory below which it will be."""
    if job.status.output is not None:
        return job.status.output.path
    return f"{ADAPTERS}/{job.spec.output.adapter_name or job.name}"
