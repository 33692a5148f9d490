"""AINode's words ↔ neutral words. Pure. Where each field goes is in crds/FIELDS.md."""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from fettle_api.dialects.ainode.templates import Template, with_template
from fettle_api.dialects.ainode.wire import MASK, TrainingConfig
from fettle_api.dialects.translation import field_of_request, finite
from fettle_api.resources.models import JobRequest, JobView
from fettle_api.web.idempotency import Identity
from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.base import LABEL_NAME_PATTERN
from fettle_schema.errors import InvalidManifestError
from fettle_schema.layout import DATASETS, UPLOADS
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.vocabulary import Phase

NAME = "ainode"

_DEFAULTS = TrainingConfig().echo()
_ADAPTER_TYPES = {"lora": "lora", "qlora": "qlora", "full": "none"}
_METHODS = {AdapterType.LORA: "lora", AdapterType.QLORA: "qlora", AdapterType.NONE: "full"}
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
    "spec.baseModel": "base_model",
    "spec.dataset.source": "dataset_path",
    "spec.dataset.evaluation": "eval_split",
    "spec.adapter.rank": "lora_rank",
    "spec.adapter.alpha": "lora_alpha",
    "spec.adapter": "method",
    "spec.hyperparameters.epochs": "num_epochs",
    "spec.hyperparameters.batchSize": "batch_size",
    "spec.hyperparameters.learningRate": "learning_rate",
    "spec.hyperparameters.maxLength": "max_seq_length",
    "spec.hyperparameters.gradientAccumulationSteps": "gradient_accumulation_steps",
    "spec.hyperparameters.warmupSteps": "warmup_steps",
    "spec.hyperparameters.weightDecay": "weight_decay",
    "spec.hyperparameters.evaluationSteps": "eval_steps",
    "spec.resources.nodes": "num_nodes",
    "spec.tracking.wandb": "wandb_project",
}


def name_of_id(job_id: str) -> str | None:
    """The resource's name: the id, with a `j` in front if it starts with a digit; None for what can be no id."""
    name = f"j{job_id}" if job_id[:1].isdigit() else job_id
    return name if len(name) <= 52 and re.fullmatch(LABEL_NAME_PATTERN, name) else None


def id_of_name(name: str) -> str:
    """The id of any job, also one made elsewhere; `name_of_id` finds the job again."""
    return name[1:] if re.fullmatch(r"j[0-9][0-9a-f]{11}", name) else name


def request_of_config(config: TrainingConfig, identity: Identity, template: Template | None = None) -> JobRequest:
    """The neutral request for a checked configuration."""
    job_id, name = _new_job(identity)
    dataset = f"{DATASETS}/{config.dataset_id}" if config.dataset_id else config.dataset_path
    return JobRequest(
        name=name,
        dialect=NAME,
        original_id=job_id,
        base_model=config.base_model.strip(),
        dataset=dataset.strip(),
        spec=spec_of_config(config, template),
        request=config.echo(only_given=True),
        secrets={"HF_TOKEN": config.hf_token} if config.hf_token else {},
        description=config.description,
        run_name=config.run_name,
        template_id=config.template_id,
        request_digest=identity.request_digest,
    )


def derived_request(source: JobView, identity: Identity, changes: Mapping[str, Any]) -> JobRequest:
    """The request for a job that is made from `source`: its configuration with `changes`, without `spec`."""
    job_id, name = _new_job(identity)
    request = {**config_of_view(source), **changes}
    return JobRequest(
        name=name,
        dialect=NAME,
        original_id=job_id,
        base_model=None,
        dataset=None,
        spec={},
        request={field: value for field, value in request.items() if value is not None},
        description=request["description"],
        run_name=request["run_name"],
        request_digest=identity.request_digest,
    )


def _new_job(identity: Identity) -> tuple[str, str]:
    """Id, of 12 hexadecimal digits, and name of a new job."""
    job_id = identity.digits[:12]
    return job_id, f"j{job_id}" if job_id[0].isdigit() else job_id


def spec_of_config(config: TrainingConfig, template: Template | None) -> dict[str, Any]:
    """What a configuration asks for, but for the model and the rows."""
    return with_template(_spec_of_config(config), template)


def _spec_of_config(config: TrainingConfig) -> dict[str, Any]:
    adapter: dict[str, Any] = {"type": _ADAPTER_TYPES[config.method]}
    if config.method != "full":
        adapter |= {"rank": config.lora_rank, "alpha": config.lora_alpha}
    hyperparameters: dict[str, Any] = {
        "epochs": config.num_epochs,
        "batchSize": config.batch_size,
        "learningRate": config.learning_rate,
        "maxLength": config.max_seq_length,
        "gradientAccumulationSteps": config.gradient_accumulation_steps,
        "warmupSteps": config.warmup_steps,
        "weightDecay": config.weight_decay,
        "gradientCheckpointing": config.use_gradient_checkpointing,
    }
    if config.eval_steps:
        hyperparameters["evaluationSteps"] = config.eval_steps
    spec: dict[str, Any] = {"method": "sft", "adapter": adapter, "hyperparameters": hyperparameters}
    if config.eval_split:
        spec["dataset"] = {"evaluation": {"fraction": config.eval_split}}
    spec["resources"] = {"nodes": config.num_nodes if config.distributed else 1}
    if config.wandb_project:
        run_name = {"runName": config.run_name[:253]} if config.run_name else {}
        spec["tracking"] = {"wandb": {"project": config.wandb_project, **run_name}}
    return spec


def findings_of(error: InvalidManifestError) -> list[str]:
    """What the core refused, by the names that the request has for it."""
    return [f"{field_of_request(finding.path, _FIELD_OF_PATH)}: {finding.message}" for finding in error.errors]


def status_of_job(job: JobView) -> str:
    """One of AINode's five words; a job that is being stopped counts as cancelled at once, as there."""
    return _STATUS[job.visible_phase]


def job_of_view(job: JobView, now: datetime) -> dict[str, Any]:
    """The whole job object."""
    progress, status = job.status.progress, status_of_job(job)
    start, end = job.status.start_time, job.status.completion_time
    elapsed = None if start is None else round(max(0.0, ((end or now) - start).total_seconds()), 1)
    percent = 100.0 if status == "completed" else (progress.percent if progress else None) or 0.0
    return {
        "job_id": id_of_name(job.name),
        "status": status,
        "progress": round(percent, 1),
        "current_epoch": epoch_of(progress.epoch if progress else None),
        "current_loss": finite(progress.loss if progress else None),
        "start_time": start.timestamp() if start else None,
        "end_time": end.timestamp() if end else None,
        "elapsed_seconds": elapsed,
        "error": job.status.failure.message if job.status.failure else None,
        "config": config_of_view(job),
    }


def config_of_view(job: JobView) -> dict[str, Any]:
    """The configuration as it came, or what the spec says in AINode's words for a job that was made elsewhere."""
    if job.dialect == NAME and job.request is not None:
        echo = {name: value for name, value in job.request.items() if name in TrainingConfig.model_fields}
        if echo.get("hf_token") is not None:
            echo["hf_token"] = MASK
        return {**_DEFAULTS, **echo}
    return _config_of_spec(job)


def _config_of_spec(job: JobView) -> dict[str, Any]:
    spec, values = job.spec, job.spec.hyperparameters
    wandb = spec.tracking.wandb
    known = {
        "base_model": spec.base_model.id or spec.base_model.path,
        "dataset_path": _dataset_name(spec),
        "method": _METHODS[spec.adapter.type],
        "num_epochs": _plain(values.epochs),
        "batch_size": values.batch_size,
        "learning_rate": values.learning_rate,
        "lora_rank": spec.adapter.rank,
        "lora_alpha": _plain(spec.adapter.alpha),
        "max_seq_length": values.max_length,
        "gradient_accumulation_steps": values.gradient_accumulation_steps,
        "warmup_steps": values.warmup_steps,
        "weight_decay": values.weight_decay,
        "eval_split": _eval_split(spec),
        "eval_steps": _plain(values.evaluation_steps),
        "use_gradient_checkpointing": values.gradient_checkpointing,
        "distributed": spec.resources.nodes > 1,
        "num_nodes": spec.resources.nodes,
        "run_name": job.run_name,
        "description": job.description,
        "wandb_project": wandb.project if wandb else None,
        "hf_token": MASK if spec.credentials.secret_name else None,
    }
    return {**_DEFAULTS, **{name: value for name, value in known.items() if value is not None}}


def _dataset_name(spec: TrainingJobSpec) -> str | None:
    source = spec.dataset.source if spec.dataset else None
    if source is None:
        return None
    if source.workspace:
        return re.sub(rf"^({DATASETS}|{UPLOADS})/", "", source.workspace.path)
    return source.hugging_face.id if source.hugging_face else "inline"


def _eval_split(spec: TrainingJobSpec) -> float:
    evaluation = spec.dataset.evaluation if spec.dataset else None
    return (evaluation.fraction if evaluation else None) or 0.0


def epoch_of(value: float | None) -> float:
    """AINode counts epochs in whole numbers where they are whole."""
    number = finite(value) or 0.0
    return int(number) if number.is_integer() else round(number, 2)


def _plain(value: float | None) -> float | None:
    return int(value) if value is not None and float(value).is_integer() else value
