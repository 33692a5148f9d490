"""OpenAI's requests → neutral words, and ids and states both ways. Pure. Where each field goes is in crds/FIELDS.md."""

import re
from dataclasses import dataclass
from typing import Any

from fettle_api.dialects.openai.wire import IntegrationBody, JobBody
from fettle_api.resources.models import JobRequest, JobView
from fettle_api.web.idempotency import Identity
from fettle_schema.base import LABEL_NAME_PATTERN
from fettle_schema.layout import UPLOADS
from fettle_schema.names import slug
from fettle_schema.vocabulary import Phase

NAME = "openai"
TUNED_PREFIX = "ft:"

_ID_DIGITS = 16
_JOB_PREFIX = "ftjob-"
_METHODS = {"supervised": ("sft", "messages"), "dpo": ("dpo", "preference")}
_COMPLETION_COLUMNS = frozenset({"prompt", "completion"})
"""Columns of rows for models that do not chat."""
_PAIR_COLUMNS = {"input": "prompt", "preferred_output": "chosen", "non_preferred_output": "rejected"}
"""Columns of preference rows as OpenAI names them → as the format does."""
STATUS_OF_PHASE = {
    Phase.PENDING: "validating_files",
    Phase.QUEUED: "queued",
    Phase.SUSPENDED: "queued",
    Phase.STARTING: "running",
    Phase.RUNNING: "running",
    Phase.SUCCEEDED: "succeeded",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "cancelled",
}
"""That API has no word for a job that waits because it was paused: it is queued until it is resumed."""
_PARAM_OF_PATH = {
    "spec.baseModel": "model",
    "spec.startFrom": "model",
    "spec.dataset.evaluation": "validation_file",
    "spec.dataset": "training_file",
    "spec.output.adapterName": "suffix",
    "spec.hyperparameters.seed": "seed",
    "spec.hyperparameters": "hyperparameters",
    "spec.tracking": "integrations",
}


@dataclass(frozen=True)
class Found:
    """What a request's names stand for, as far as it had to be looked up."""

    base_model: str
    """The base model: of a fine-tuned one, that which it was made from."""
    adapter: str | None = None
    """Name of the fine-tuned model's Adapter, which training goes on from."""
    columns: frozenset[str] = frozenset()
    """Of the training file's first row, where it could be read."""


def name_of_id(job_id: str) -> str | None:
    """The resource's name, which is the id; None for what can be no id."""
    return job_id if len(job_id) <= 52 and re.fullmatch(LABEL_NAME_PATTERN, job_id) else None


def request_of_body(body: JobBody, identity: Identity, found: Found) -> JobRequest:
    """The neutral request."""
    digits = identity.digits[:_ID_DIGITS]
    job_id = f"{_JOB_PREFIX}{digits}"
    spec = _spec_of_body(body, found)
    spec["output"] = {"adapterName": slug(f"{body.suffix}-{digits}") if body.suffix else job_id}
    if found.adapter:
        spec["startFrom"] = {"adapter": found.adapter}
    if body.integrations:
        spec["tracking"] = {"wandb": _wandb(body.integrations[0], job_id)}
    return JobRequest(
        name=job_id,
        dialect=NAME,
        original_id=job_id,
        base_model=found.base_model,
        dataset=None,
        spec=spec,
        request=body.model_dump(exclude_unset=True, exclude={"metadata"}),
        run_name=body.suffix,
        request_digest=identity.request_digest,
        metadata=body.metadata,
    )


def _spec_of_body(body: JobBody, found: Found) -> dict[str, Any]:
    method, format_name = _METHODS[body.method.type]
    if method == "sft" and found.columns >= _COMPLETION_COLUMNS:
        format_name = "prompt-completion"
    dataset: dict[str, Any] = {"source": _file_source(body.training_file), "format": format_name}
    if body.validation_file:
        dataset["evaluation"] = {"source": _file_source(body.validation_file)}
    if method == "dpo" and found.columns >= _PAIR_COLUMNS.keys():
        dataset["columns"] = _PAIR_COLUMNS
    return {
        "method": method,
        "adapter": {"type": "lora"},
        "dataset": dataset,
        "hyperparameters": _hyperparameters(body),
    }


def _hyperparameters(body: JobBody) -> dict[str, Any]:
    chosen = body.chosen
    values = {
        "epochs": chosen.n_epochs,
        "batchSize": chosen.batch_size,
        "gradientAccumulationSteps": 1 if chosen.batch_size else None,
        "learningRateMultiplier": chosen.learning_rate_multiplier,
        "beta": chosen.beta if body.method.type == "dpo" else None,
        "seed": body.seed,
    }
    return {name: value for name, value in values.items() if value is not None}


def _file_source(file_id: str) -> dict[str, Any]:
    return {"workspace": {"path": f"{UPLOADS}/{file_id}"}}


def _wandb(integration: IntegrationBody, job_id: str) -> dict[str, Any]:
    given = integration.wandb
    values = {
        "project": given.project,
        "entity": given.entity,
        "runName": given.name or job_id,
        "tags": given.tags or None,
    }
    return {name: value for name, value in values.items() if value is not None}


def status_of_job(job: JobView) -> str:
    """One of that API's six words; what was asked for shows at once."""
    if job.is_stopping:
        return "cancelled"
    if job.spec.suspend and not job.is_finished:
        return STATUS_OF_PHASE[Phase.SUSPENDED]
    return STATUS_OF_PHASE[job.phase]


def tuned_model_name(base_model: str, suffix: str | None, job_name: str) -> str:
    """`ft:<model>::<suffix>:<id>`; the id is that of the job."""
    return f"{TUNED_PREFIX}{base_model}::{suffix or ''}:{job_name.removeprefix(_JOB_PREFIX)}"


def job_of_tuned_model(model: str) -> str | None:
    """The job that made `ft:<model>:<organization>:<suffix>:<id>`; None for what can be no such name."""
    if not model.startswith(TUNED_PREFIX):
        return None
    digits = model.rpartition(":")[2]
    return f"{_JOB_PREFIX}{digits}" if re.fullmatch(rf"[0-9a-f]{{{_ID_DIGITS}}}", digits) else None


def is_job_of_this_api(name: str) -> bool:
    """Whether a job's name is one that `request_of_body` gives."""
    return re.fullmatch(rf"{_JOB_PREFIX}[0-9a-f]{{{_ID_DIGITS}}}", name) is not None


def param_of_path(path: str) -> str | None:
    """The request's name for a field of the manifest."""
    known = [one for one in _PARAM_OF_PATH if path == one or path.startswith(f"{one}.")]
    return _PARAM_OF_PATH[max(known, key=len)] if known else None
