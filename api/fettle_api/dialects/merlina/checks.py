"""Whether a configuration can be trained with, in Merlina's words. Pure: from the configuration and what is known."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from fettle_api.dialects.merlina.translate import (
    FORMATS,
    Installation,
    findings_of,
    has_token,
    optimizer_of,
    pieces_of,
    tracks,
    uses_gpus,
)
from fettle_api.dialects.merlina.wire import DatasetBody, TrainingConfig
from fettle_api.jobs.preflight import JobFacts
from fettle_schema.errors import InvalidManifestError
from fettle_schema.hyperparameters import GPU_OPTIMIZERS

GATED = ("meta-llama/", "google/gemma", "google/codegemma", "bigcode/starcoder", "CohereForAI/", "CohereLabs/")
"""Beginnings of hub ids whose owners want to know who downloads."""
_SOURCES = ("huggingface", "local_file", "upload")
_GIB = 1024**3
_FLASH = "Flash Attention 2 not available, falling back to another attention implementation"

MissingGpu = Literal["error", "warning"]


@dataclass
class Validation:
    """The outcome."""

    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    checks: dict[str, bool] = field(default_factory=dict)

    @property
    def is_valid(self) -> bool:
        """Nothing is wrong."""
        return not self.errors

    def answer(self) -> dict[str, Any]:
        """`POST /validate`."""
        results = {"errors": self.errors, "warnings": self.warnings, "checks": self.checks}
        return {"valid": self.is_valid, "results": results}

    def detail(self) -> dict[str, Any]:
        """`detail` of a refused `POST /train`."""
        return {
            "message": "Training configuration validation failed",
            "errors": self.errors,
            "warnings": self.warnings,
        }


def validate(
    config: TrainingConfig,
    facts: JobFacts | None,
    source_problem: str | None,
    installation: Installation,
    missing_gpu: MissingGpu,
) -> Validation:
    """`facts` is None where the source of the dataset is not even known; `source_problem` then says why."""
    outcome = Validation()
    gpu = list(_gpu_errors(config, facts))
    memory = list(_memory_errors(facts))
    disk = list(_disk_errors(facts))
    model = list(_model_errors(config, facts, installation))
    dataset = list(_dataset_errors(config.dataset, facts, source_problem))
    has_no_gpu = facts is not None and facts.gpus == ()
    if has_no_gpu:
        words = "GPU not available; training runs on the CPU" if missing_gpu == "warning" else "GPU not available"
        (gpu if missing_gpu == "error" else outcome.warnings).append(words)
    outcome.errors += [*gpu, *memory, *disk, *model, *dataset, *_setting_errors(config, installation)]
    if facts is not None:
        refused = findings_of(InvalidManifestError(list(facts.findings)))
        outcome.errors += [words for words in refused if words not in outcome.errors]
    outcome.warnings += _warnings(config, facts, installation)
    outcome.checks = {
        "gpu_available": not (gpu or has_no_gpu),
        "vram_sufficient": not memory,
        "disk_space_ok": not disk,
        "model_accessible": not model,
        "dataset_valid": not dataset,
    }
    return outcome


def _gpu_errors(config: TrainingConfig, facts: JobFacts | None) -> Iterator[str]:
    if facts is None or not facts.gpus:
        return
    known = {gpu.index for gpu in facts.gpus}
    missing = sorted(set(config.gpu_ids or ()) - known)
    if missing:
        yield f"gpu_ids: GPU {', '.join(map(str, missing))} not found; there are {', '.join(map(str, sorted(known)))}"


def _memory_errors(facts: JobFacts | None) -> Iterator[str]:
    """Only where the estimate and the GPUs are known, and even the least that is expected is too much."""
    if facts is None or facts.estimate is None or not facts.gpus or not _uses_gpu(facts):
        return
    available = max(gpu.memory_total_bytes for gpu in facts.gpus)
    needed = facts.estimate.memory.expected
    if facts.estimate.memory.low > available:
        yield f"Insufficient VRAM (required: {_gigabytes(needed)}, available: {_gigabytes(available)})"


def _disk_errors(facts: JobFacts | None) -> Iterator[str]:
    if facts is not None and facts.free_bytes < facts.needed_bytes:
        needed, free = _gigabytes(facts.needed_bytes), _gigabytes(facts.free_bytes)
        yield f"Insufficient disk space (required: {needed}, available: {free})"


def _model_errors(config: TrainingConfig, facts: JobFacts | None, installation: Installation) -> Iterator[str]:
    name = config.base_model.strip()
    if facts is None or facts.model_is_present:
        return
    if _is_path(name):
        yield f"Local model path '{name}' does not exist in the workspace"
    elif name.startswith(GATED) and not has_token(config, installation):
        yield f"Model '{name}' is gated and requires a HuggingFace token: give hf_token"


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~", "models/")) or "\\" in name or name.count("/") > 1


def _dataset_errors(dataset: DatasetBody | None, facts: JobFacts | None, problem: str | None) -> Iterator[str]:
    if dataset is None:
        return
    if problem is not None:
        yield problem
    yield from format_errors(dataset)
    if facts is not None and facts.dataset_problem is not None:
        yield f"Dataset: {facts.dataset_problem}"


def source_error(dataset: DatasetBody) -> str | None:
    """What is missing of the source itself."""
    source = dataset.source
    if source.source_type not in _SOURCES:
        return f"Invalid source_type: {source.source_type[:64]!r}; it is one of {', '.join(_SOURCES)}"
    if source.source_type == "huggingface" and not source.repo_id.strip():
        return "HuggingFace dataset requires repo_id"
    if source.source_type == "local_file" and not source.file_path.strip():
        return "Local file dataset requires file_path"
    if source.source_type == "upload" and not source.dataset_id.strip():
        return "Upload dataset requires dataset_id"
    return None


def format_errors(dataset: DatasetBody) -> Iterator[str]:
    """What is wrong with the format."""
    name = dataset.format.format_type
    if name not in FORMATS:
        yield f"Unknown format_type: {name[:64]!r}; it is one of {', '.join(FORMATS)}"
    if name == "custom" and not pieces_of(dataset):
        yield "Custom format requires custom_templates"


def _setting_errors(config: TrainingConfig, installation: Installation) -> Iterator[str]:
    if config.max_prompt_length >= config.max_length:
        yield f"max_prompt_length ({config.max_prompt_length}) must be less than max_length ({config.max_length})"
    if config.push_to_hub and not has_token(config, installation):
        yield "push_to_hub requires a HuggingFace token: give hf_token"


def _warnings(config: TrainingConfig, facts: JobFacts | None, installation: Installation) -> Iterator[str]:
    yield from _adapter_warnings(config)
    effective = config.batch_size * config.gradient_accumulation_steps
    if effective < 4:
        yield f"Effective batch size ({effective}) is small; training may be unstable"
    if effective > 128:
        yield f"Effective batch size ({effective}) is large; fewer steps are made with the same data"
    if config.learning_rate > 1e-4:
        yield f"Learning rate ({config.learning_rate}) is high for preference training"
    if config.training_mode == "kto" and config.batch_size == 1:
        yield "kto compares an answer with its neighbour's: batch_size 2 is used instead of 1"
    is_asked_for = "optimizer_type" in config.model_fields_set
    if is_asked_for and config.optimizer_type in GPU_OPTIMIZERS and not uses_gpus(config, installation):
        yield f"{config.optimizer_type} needs a GPU: {optimizer_of(config, installation)} is used instead"
    if config.use_wandb and not tracks(config, installation):
        yield "use_wandb is set but no wandb_key is given: Weights & Biases is off"
    yield from _machine_warnings(config, facts)


def _adapter_warnings(config: TrainingConfig) -> Iterator[str]:
    if config.use_lora and config.lora_alpha < config.lora_r:
        yield f"LoRA alpha ({config.lora_alpha}) is less than rank ({config.lora_r})"
    if not config.use_4bit:
        yield "Training without 4-bit quantization needs more VRAM"
    elif not config.use_lora:
        yield "use_4bit is ignored: quantized weights cannot be trained without LoRA"


def _machine_warnings(config: TrainingConfig, facts: JobFacts | None) -> Iterator[str]:
    gpus = facts.gpus if facts is not None else None
    if gpus == () and config.gpu_ids:
        yield "gpu_ids is ignored: this machine has no GPU"
    wants_flash = config.attn_implementation in ("auto", "flash_attention_2")
    if wants_flash and gpus is not None and not any(float(gpu.compute_capability or 0) >= 8 for gpu in gpus):
        yield _FLASH
    if facts is None:
        return
    if facts.estimate is not None and gpus and _uses_gpu(facts):
        available = max(gpu.memory_total_bytes for gpu in gpus)
        if facts.estimate.memory.low <= available < facts.estimate.memory.high:
            yield f"VRAM is tight: up to {_gigabytes(facts.estimate.memory.high)} of {_gigabytes(available)}"
    if gpus is None:
        yield "GPUs of the cluster are not visible here: whether one is free shows when the job waits"


def _uses_gpu(facts: JobFacts) -> bool:
    return facts.spec is not None and facts.spec.resources.gpus_per_node > 0


def _gigabytes(size_bytes: int) -> str:
    return f"{size_bytes / _GIB:.1f}GB"
