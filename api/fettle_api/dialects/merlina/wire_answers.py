"""The answers of Merlina's API, field by field, for its OpenAPI document. Nothing is validated with these models."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, RootModel

Status = Literal[
    "queued",
    "initializing",
    "loading_model",
    "loading_dataset",
    "training",
    "saving",
    "uploading",
    "completed",
    "failed",
    "stopped",
    "cancelled",
]


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, title=None)


class ErrorAnswer(_Answer):
    """Every error: a sentence; for a refused configuration an object, for a body that is no request a list."""

    detail: str | dict[str, Any] | list[Any]


class ApiAnswer(_Answer):
    """What this is."""

    name: str
    version: str
    description: str
    endpoints: dict[str, str]


class VersionAnswer(_Answer):
    """The version of the document that is served."""

    version: str


class DatabaseAnswer(_Answer):
    """Counts over all jobs."""

    total_jobs: int
    total_metrics: int
    db_size_mb: float
    by_status: dict[str, int]


class ConnectionsAnswer(_Answer):
    """Who follows jobs."""

    total_connections: int


class QueueStatsAnswer(_Answer):
    """Counts of the queue."""

    queued_count: int
    running_count: int
    max_concurrent: int
    available_slots: int
    queued: int
    running: int
    workers: int


class StatsAnswer(_Answer):
    """Counts."""

    database: DatabaseAnswer
    websockets: ConnectionsAnswer
    queue: QueueStatsAnswer


class ChecksAnswer(_Answer):
    """What was looked at."""

    gpu_available: bool
    vram_sufficient: bool
    disk_space_ok: bool
    model_accessible: bool
    dataset_valid: bool


class ResultsAnswer(_Answer):
    """What was found."""

    errors: list[str]
    warnings: list[str]
    checks: ChecksAnswer


class ValidationAnswer(_Answer):
    """Whether a configuration can be trained with."""

    valid: bool
    results: ResultsAnswer


class SubmittedAnswer(_Answer):
    """A job that was created."""

    job_id: str
    status: Status
    message: str


class StatusAnswer(_Answer):
    """State and progress of a job."""

    job_id: str
    status: Status
    progress: float
    current_step: int | None
    total_steps: int | None
    loss: float | None
    error: str | None
    wandb_url: str | None
    queue_position: int | None
    queue_state: Literal["queued", "running", "unknown"]


class SummaryAnswer(_Answer):
    """A job in few words."""

    status: Status
    progress: float


class JobsAnswer(RootModel[dict[str, SummaryAnswer]]):
    """All jobs by id, the newest first."""


class HistoryEntryAnswer(_Answer):
    """A job of the history."""

    job_id: str
    status: Status
    progress: float
    created_at: str
    updated_at: str
    output_dir: str
    error: str | None


class HistoryAnswer(_Answer):
    """A page of jobs, the newest first."""

    jobs: list[HistoryEntryAnswer]
    count: int


class PointAnswer(_Answer):
    """The numbers of one step."""

    step: int
    loss: float | None
    eval_loss: float | None
    learning_rate: float | None
    timestamp: str


class MetricsAnswer(_Answer):
    """The series of a job."""

    job_id: str
    metrics: list[PointAnswer]
    count: int


class StoppedAnswer(_Answer):
    """What became of a request to stop."""

    status: Literal["success", "warning"]
    message: str
    job_id: str
    was_queued: bool = False


class DeletedJobAnswer(_Answer):
    """A job that was deleted."""

    status: Literal["success"]
    message: str
    job_id: str


class ClearedAnswer(_Answer):
    """Jobs that were deleted."""

    status: Literal["success"]
    message: str
    deleted_count: int


class QueuedAnswer(_Answer):
    """A job that waits."""

    job_id: str
    priority: int
    position: int
    queued_at: str


class RunningAnswer(_Answer):
    """A job that runs."""

    job_id: str
    priority: int
    worker: str


class QueueAnswer(_Answer):
    """The queue."""

    stats: QueueStatsAnswer
    queued_jobs: list[QueuedAnswer]
    running_jobs: list[RunningAnswer]


class QueueJobsAnswer(_Answer):
    """The jobs of the queue."""

    queued: list[QueuedAnswer]
    running: list[RunningAnswer]


class GpuAnswer(_Answer):
    """A GPU."""

    index: int
    name: str
    memory_total_mb: int
    memory_free_mb: int
    memory_used_mb: int
    utilization_percent: int | None
    temperature_c: int | None
    power_usage_w: float | None
    compute_capability: str | None
    total_memory_mb: int
    free_memory_mb: int
    used_memory_mb: int
    gpu_utilization_percent: int | None
    memory_utilization_percent: float


class GpusAnswer(_Answer):
    """All GPUs."""

    status: Literal["success", "no_cuda"]
    gpus: list[GpuAnswer]
    count: int = 0
    message: str = ""


class OneGpuAnswer(_Answer):
    """One GPU."""

    status: Literal["success"]
    gpu: GpuAnswer


class AvailableGpusAnswer(_Answer):
    """GPUs with enough free memory."""

    status: Literal["success", "no_cuda"]
    available_gpus: list[int]
    count: int
    min_free_memory_mb: int
    message: str = ""


class RecommendedGpuAnswer(_Answer):
    """The GPU with the most free memory."""

    status: Literal["success"]
    recommended_index: int
    gpu: GpuAnswer


class PreviewAnswer(_Answer):
    """The first rows."""

    status: Literal["success"]
    samples: list[dict[str, Any]]
    num_samples: int


class ColumnsAnswer(_Answer):
    """Columns, and the first rows."""

    status: Literal["success"]
    columns: list[str]
    samples: list[dict[str, Any]]
    total_rows: int | None
    """Null where counting takes too long."""


class UploadAnswer(_Answer):
    """A file that was uploaded."""

    status: Literal["success"]
    dataset_id: str
    filename: str
    size: int


class UploadEntryAnswer(_Answer):
    """An uploaded file."""

    dataset_id: str
    filename: str
    size: int


class UploadsAnswer(_Answer):
    """All uploaded files, the newest first."""

    datasets: list[UploadEntryAnswer]


class SavedAnswer(_Answer):
    """A configuration, or a file of one, that was written."""

    status: Literal["success"]
    message: str
    filepath: str


class ConfigurationEntryAnswer(_Answer):
    """A saved configuration without its content."""

    name: str
    description: str
    tags: list[str]
    created_at: str
    updated_at: str
    filename: str
    modified_at: str


class ConfigurationsAnswer(_Answer):
    """All saved configurations, those changed last first."""

    status: Literal["success"]
    configs: list[ConfigurationEntryAnswer]
    count: int


class ConfigurationAnswer(_Answer):
    """A saved configuration; with metadata its content is in `config.config`."""

    status: Literal["success"]
    config: dict[str, Any]


class DeletedConfigurationAnswer(_Answer):
    """A configuration that was deleted."""

    status: Literal["success"]
    message: str


class TokenizerAnswer(_Answer):
    """A tokenizer."""

    status: Literal["success"]
    model_name: str
    vocab_size: int | None
    model_max_length: int | None
    has_chat_template: bool
    chat_template_preview: str | None
    pad_token: str | None
    eos_token: str | None
    bos_token: str | None


class CachedModelsAnswer(_Answer):
    """Models whose tokenizer is there."""

    cached_models: list[str]
    count: int
