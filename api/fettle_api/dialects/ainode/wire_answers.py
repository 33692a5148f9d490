"""The answers of AINode's API, field by field, for its OpenAPI document. Nothing is validated with these models."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Status = Literal["pending", "running", "completed", "failed", "cancelled"]


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, title=None)


class ErrorAnswer(_Answer):
    """Every error."""

    error: str


class ConfigAnswer(_Answer):
    """A configuration as it came, with defaults; secrets are `***`."""

    base_model: str
    dataset_path: str
    output_dir: str | None
    method: str
    num_epochs: float
    batch_size: int
    learning_rate: float
    lora_rank: int
    lora_alpha: float
    max_seq_length: int
    gradient_accumulation_steps: int
    warmup_steps: int
    weight_decay: float
    eval_split: float
    eval_steps: float
    use_gradient_checkpointing: bool
    distributed: bool
    num_nodes: int
    dataset_id: str | None
    run_name: str | None
    description: str | None
    template_id: str | None
    hf_token: str | None
    wandb_project: str | None


class JobAnswer(_Answer):
    """A job."""

    job_id: str
    status: Status
    progress: float
    current_epoch: float
    current_loss: float | None
    start_time: float | None
    end_time: float | None
    elapsed_seconds: float | None
    error: str | None
    config: ConfigAnswer


class JobsAnswer(_Answer):
    """All jobs, in order of arrival."""

    jobs: list[JobAnswer]


class CancelledAnswer(_Answer):
    """A job that was cancelled."""

    status: Literal["cancelled"]
    job_id: str


class LogAnswer(_Answer):
    """The log of a job."""

    job_id: str
    status: Status
    logs: list[str]
    total_lines: int


class FileAnswer(_Answer):
    """One published file."""

    name: str
    size_bytes: int
    size_mb: float
    download_url: str


class OutputAnswer(_Answer):
    """What a job published."""

    job_id: str
    status: Status
    files: list[FileAnswer]
    total_files: int
    total_size_mb: float


class MergeAnswer(_Answer):
    """A merge that was started."""

    merge_job_id: str
    source_job_id: str
    adapter_dir: str
    output_dir: str
    status: Status
    message: str


class ResumeAnswer(_Answer):
    """A job that goes on from a checkpoint."""

    resume_job_id: str
    source_job_id: str
    checkpoint: str
    checkpoint_path: str
    available_checkpoints: list[str]
    status: Status


class TemplateAnswer(_Answer):
    """A template."""

    id: str
    name: str
    description: str
    method: str
    default_params: dict[str, Any]
    estimated_time: str
    custom: bool
    sample_shape: str = ""
    recommended_epochs: float = 0
    recommended_batch_size: int = 0
    recommended_lr: float = 0


class TemplatesAnswer(_Answer):
    """The built-in templates, then the custom ones."""

    templates: list[TemplateAnswer]


class StatsAnswer(_Answer):
    """Counters."""

    total: int
    running: int
    completed: int
    completed_today: int
    failed: int
    cancelled: int
    pending: int
    total_gpu_hours: float
    active_job_id: str | None
    queue_size: int


class EstimateAnswer(_Answer):
    """What is known before a job runs."""

    params_b: float | None
    memory_gb_per_node: float | None
    samples_per_sec: float | None
    estimated_seconds: float | None
    distributed: bool
    num_nodes: int
    notes: list[str]
    estimate: dict[str, Any] | None
    """Memory by its parts, time, and advice; null where the model's config.json is not known."""


class DatasetAnswer(_Answer):
    """A dataset."""

    id: str
    name: str
    source: Literal["upload", "huggingface", "local", "url"]
    format: str
    path: str
    samples: int
    size_bytes: int
    created_at: float
    description: str
    hf_config: str | None
    hf_split: str | None
    version: str | None
    versions: list[str]


class DatasetsAnswer(_Answer):
    """All datasets, the newest first."""

    datasets: list[DatasetAnswer]


class DeletedAnswer(_Answer):
    """A dataset that was deleted."""

    status: Literal["deleted"]


class PreviewAnswer(_Answer):
    """The first rows of a dataset."""

    id: str
    name: str
    format: str
    samples: list[dict[str, Any]]
    total_samples: int
    columns: list[str]
    detected_formats: list[str]
    findings: list[str]
