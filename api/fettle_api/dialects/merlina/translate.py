"""Merlina's words → neutral words. Pure. Where each field goes is in crds/FIELDS.md."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from fettle_api.dialects.merlina.wire import DatasetBody, TrainingConfig
from fettle_api.dialects.translation import field_of_request
from fettle_api.resources.models import JobRequest
from fettle_schema.base import LABEL_NAME_PATTERN
from fettle_schema.dataset import DatasetSource
from fettle_schema.defaults import METHODS_WITH
from fettle_schema.errors import InvalidManifestError
from fettle_schema.hyperparameters import GPU_OPTIMIZERS
from fettle_schema.names import MAX_JOB_NAME, slug
from fettle_schema.training_job import Method

NAME = "merlina"

FORMATS = ("chatml", "llama3", "mistral", "qwen3", "tokenizer", "custom")
PIECES = {
    "system_prefix": "systemPrefix",
    "system_suffix": "systemSuffix",
    "user_prefix": "userPrefix",
    "user_suffix": "userSuffix",
    "assistant_prefix": "assistantPrefix",
    "assistant_suffix": "assistantSuffix",
    "prompt_template": "promptTemplate",
    "chosen_template": "chosenTemplate",
    "rejected_template": "rejectedTemplate",
}
_PRIORITIES = ("low", "normal", "high")
_OPTIMIZERS = {"adamw_hf": "adamw_torch"}
"""Names that transformers no longer has."""
_CPU_OPTIMIZER = "adamw_torch"
"""Instead of one that needs a GPU, as the default of this API does."""
_ID = re.compile(r"job_([0-9a-f]{8})_([0-9a-f]{6})")
_NAME = re.compile(r"job-([0-9a-f]{8})-([0-9a-f]{6})")
_FIELD_OF_PATH = {
    "spec.baseModel": "base_model",
    "spec.method": "training_mode",
    "spec.dataset.source": "dataset.source",
    "spec.dataset.columns": "dataset.column_mapping",
    "spec.dataset.template": "dataset.format",
    "spec.adapter.targetModules": "target_modules",
    "spec.hyperparameters.batchSize": "batch_size",
    "spec.hyperparameters.optimizer": "optimizer_type",
    "spec.hyperparameters.scheduler": "lr_scheduler_type",
    "spec.hyperparameters.attention": "attn_implementation",
    "spec.output.push.repository": "output_name",
    "spec.output": "output_name",
    "spec.resources": "gpu_ids",
    "spec.tracking.wandb": "wandb_project",
}


@dataclass(frozen=True)
class Installation:
    """What a configuration means here."""

    has_platform_token: bool
    """Jobs get a Secret of the installation."""
    tracking_project: str
    local_gpus: int | None
    """GPUs of this machine; None on a cluster, where they are nobody's business."""
    default_gpus: int = 1
    """GPUs of a job that does not say how many."""


class JobIds:
    """`job_YYYYMMDD_HHMMSS`: the second in which a job was made, or the next one that no job has had."""

    def __init__(self) -> None:
        self._last: datetime | None = None

    def next(self, now: datetime) -> str:
        """Later than every id before."""
        whole = now.replace(microsecond=0)
        self._last = whole if self._last is None else max(whole, self._last + timedelta(seconds=1))
        return f"job_{self._last:%Y%m%d_%H%M%S}"


def keyed_id(digits: str) -> str:
    """The id of a request that came with an Idempotency-Key: it follows from the key, not from the time."""
    return f"job_{digits[:8]}_{digits[8:14]}"


def name_of_id(job_id: str) -> str | None:
    """The resource's name; None for what can be no id."""
    match = _ID.fullmatch(job_id)
    name = f"job-{match[1]}-{match[2]}" if match else job_id
    return name if len(name) <= MAX_JOB_NAME and re.fullmatch(LABEL_NAME_PATTERN, name) else None


def id_of_name(name: str) -> str:
    """The id of any job, also one made elsewhere; `name_of_id` finds the job again."""
    match = _NAME.fullmatch(name)
    return f"job_{match[1]}_{match[2]}" if match else name


def priority_of(text: str | None) -> str:
    """One of three words; whatever else was asked for is normal."""
    word = (text or "").strip().lower()
    return word if word in _PRIORITIES else "normal"


def request_of_config(
    config: TrainingConfig,
    job_id: str,
    priority: str,
    source: DatasetSource | None,
    installation: Installation,
    digest: str | None = None,
) -> JobRequest:
    """The neutral request for a checked configuration."""
    name = name_of_id(job_id)
    assert name is not None
    return JobRequest(
        name=name,
        dialect=NAME,
        original_id=job_id,
        base_model=config.base_model.strip().removeprefix("./"),
        dataset=None,
        spec=spec_of_config(config, priority, source, installation),
        request=config.echo(),
        secrets=_secrets(config),
        run_name=config.wandb_run_name,
        request_digest=digest,
    )


def spec_of_config(
    config: TrainingConfig, priority: str, source: DatasetSource | None, installation: Installation
) -> dict[str, Any]:
    """What a configuration asks for, but for the model."""
    spec: dict[str, Any] = {
        "method": config.training_mode,
        "adapter": _adapter(config),
        "hyperparameters": {**_hyperparameters(config), "optimizer": optimizer_of(config, installation)},
        "output": _output(config),
        "scheduling": {"priority": priority},
        **_gpus(config, installation),
    }
    if config.dataset is not None and source is not None:
        spec["dataset"] = {**dataset_of_body(config.dataset, source), "shuffle": config.shuffle_dataset}
    if tracks(config, installation):
        spec["tracking"] = {"wandb": _wandb(config, installation)}
    return spec


def dataset_of_body(dataset: DatasetBody, source: DatasetSource) -> dict[str, Any]:
    """`spec.dataset`."""
    columns = {column: name for column, name in dataset.column_mapping.items() if name}
    found: dict[str, Any] = {
        "source": source.manifest(),
        "template": _template(dataset),
        "columns": columns,
        "evaluation": {"fraction": dataset.test_size},
    }
    if dataset.max_samples is not None:
        found["maxExamples"] = dataset.max_samples
    return found


def tracks(config: TrainingConfig, installation: Installation) -> bool:
    """Whether Weights & Biases is told: without a key it is off."""
    return config.use_wandb and (config.wandb_key is not None or _has_platform_secret(config, installation))


def has_token(config: TrainingConfig, installation: Installation) -> bool:
    """Whether the job can show a token to the hub."""
    return config.hf_token is not None or _has_platform_secret(config, installation)


def _has_platform_secret(config: TrainingConfig, installation: Installation) -> bool:
    """A job has one Secret: the installation's, unless the request brings something of its own."""
    return installation.has_platform_token and not _secrets(config)


def _secrets(config: TrainingConfig) -> dict[str, str]:
    secrets = {"HF_TOKEN": config.hf_token, "WANDB_API_KEY": config.wandb_key if config.use_wandb else None}
    return {variable: value for variable, value in secrets.items() if value}


def pieces_of(dataset: DatasetBody) -> dict[str, str]:
    """Known pieces of a custom template, in either spelling."""
    given = dataset.format.custom_templates or {}
    return {PIECES[name]: text for name, text in given.items() if name in PIECES}


def smallest_batch(config: TrainingConfig) -> tuple[int, int]:
    """Examples of a micro-batch, and how many of those make a step: kto compares an answer with its neighbour's."""
    if config.training_mode == "kto" and config.batch_size == 1:
        return 2, max(1, config.gradient_accumulation_steps // 2)
    return config.batch_size, config.gradient_accumulation_steps


def optimizer_of(config: TrainingConfig, installation: Installation) -> str:
    """The optimizer: on the CPU one that trains there."""
    wanted = _OPTIMIZERS.get(config.optimizer_type, config.optimizer_type)
    return _CPU_OPTIMIZER if wanted in GPU_OPTIMIZERS and not uses_gpus(config, installation) else wanted


def uses_gpus(config: TrainingConfig, installation: Installation) -> bool:
    """Whether the job will ask for any."""
    if installation.local_gpus == 0:
        return False
    return bool(config.gpu_ids if config.gpu_ids is not None else installation.default_gpus)


def findings_of(error: InvalidManifestError) -> list[str]:
    """What the core refused, by the names that the request has for it."""
    return [f"{field_of_request(finding.path, _FIELD_OF_PATH)}: {finding.message}" for finding in error.errors]


def _adapter(config: TrainingConfig) -> dict[str, Any]:
    if not config.use_lora:
        return {"type": "none"}
    quantized = {"type": "qlora", "quantization": {"bits": 4}} if config.use_4bit else {"type": "lora"}
    return {
        **quantized,
        "rank": config.lora_r,
        "alpha": config.lora_alpha,
        "dropout": config.lora_dropout,
        "targetModules": list(config.target_modules),
    }


def _hyperparameters(config: TrainingConfig) -> dict[str, Any]:
    batch_size, accumulation = smallest_batch(config)
    values: dict[str, Any] = {
        "epochs": config.num_epochs,
        "batchSize": batch_size,
        "gradientAccumulationSteps": accumulation,
        "learningRate": config.learning_rate,
        "maxLength": config.max_length,
        "maxPromptLength": config.max_prompt_length,
        "beta": config.beta,
        "seed": config.seed,
        "maxGradNorm": config.max_grad_norm,
        "warmupRatio": config.warmup_ratio,
        "weightDecay": config.weight_decay,
        "scheduler": config.lr_scheduler_type,
        "gradientCheckpointing": config.gradient_checkpointing,
        "loggingSteps": config.logging_steps,
        "adamBeta1": config.adam_beta1,
        "adamBeta2": config.adam_beta2,
        "adamEpsilon": config.adam_epsilon,
        "attention": config.attn_implementation,
    }
    if config.eval_steps:
        values["evaluationSteps"] = config.eval_steps
    method = Method(config.training_mode)
    return {name: value for name, value in values.items() if method in METHODS_WITH.get(name, (method,))}


def _template(dataset: DatasetBody) -> dict[str, Any]:
    name = dataset.format.format_type
    template: dict[str, Any] = {"name": name}
    if name == "qwen3":
        template["thinking"] = dataset.format.enable_thinking
    if name == "custom":
        template["custom"] = pieces_of(dataset)
    return template


def _output(config: TrainingConfig) -> dict[str, Any]:
    output: dict[str, Any] = {"adapterName": slug(config.output_name.strip()), "onConflict": "newVersion"}
    if config.push_to_hub:
        merged = config.merge_lora_before_upload and config.use_lora
        output["push"] = {
            "repository": config.output_name.strip(),
            "private": config.hf_hub_private,
            "merged": merged,
        }
    return output


def _gpus(config: TrainingConfig, installation: Installation) -> Mapping[str, Any]:
    """As many GPUs as are named; on one machine those that are named. Without any GPU the CPU trains."""
    if config.gpu_ids is None or installation.local_gpus == 0:
        return {}
    wanted = list(dict.fromkeys(config.gpu_ids))
    found: dict[str, Any] = {"resources": {"gpusPerNode": len(wanted)}}
    if installation.local_gpus is not None and wanted:
        devices = {"name": "CUDA_VISIBLE_DEVICES", "value": ",".join(map(str, wanted))}
        found["runtime"] = {"env": [devices]}
    return found


def _wandb(config: TrainingConfig, installation: Installation) -> dict[str, Any]:
    values = {
        "project": config.wandb_project or installation.tracking_project,
        "runName": config.wandb_run_name,
        "tags": config.wandb_tags,
        "notes": config.wandb_notes,
    }
    return {name: value for name, value in values.items() if value}
