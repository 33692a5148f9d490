"""The answers of this API, field by field, for its OpenAPI document. Nothing is validated with these models."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, RootModel

Status = Literal["pending", "running", "completed", "failed", "cancelled"]


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, title=None, protected_namespaces=())


class ErrorAnswer(_Answer):
    """Every error."""

    error: str


class HealthAnswer(_Answer):
    """The server is there."""

    status: Literal["healthy"]
    version: str


class SubmittedAnswer(_Answer):
    """A job that was made."""

    job_id: str
    status: Literal["submitted"]
    message: str


class JobSummaryAnswer(_Answer):
    """A job in the list."""

    job_id: str
    model_name: str
    status: Status
    """`pending` for the phases Pending, Queued and Suspended of a TrainingJob; `running` for Starting and Running;
    `completed` for Succeeded; `failed` for Failed; `cancelled` for Cancelled, and as soon as somebody has cancelled."""
    progress: float
    """0 to 100."""
    created_at: str
    """In UTC, without a zone, as all times here."""
    started_at: str | None
    completed_at: str | None


class JobsAnswer(_Answer):
    """All jobs, the newest first."""

    jobs: list[JobSummaryAnswer]
    total: int


class LoraConfigAnswer(_Answer):
    """`lora_config` with defaults."""

    r: int
    lora_alpha: float
    lora_dropout: float
    target_modules: list[str]
    bias: str
    task_type: str
    modules_to_save: list[str] = []


class TrainingConfigAnswer(_Answer):
    """`training_config` with defaults."""

    num_epochs: float
    batch_size: int
    learning_rate: float
    max_steps: int
    gradient_accumulation_steps: int
    warmup_steps: int
    logging_steps: int
    save_steps: int
    max_seq_length: int


class JobMetrics(_Answer):
    """The last measurements."""

    train_loss: float | None
    eval_loss: float | None


class JobAnswer(JobSummaryAnswer):
    """A job by itself."""

    current_step: int
    total_steps: int
    """0 until it is known."""
    current_loss: float | None
    learning_rate: float
    metrics: JobMetrics
    adapter_path: str
    """Directory of the adapter inside the workspace; below which it will be, until it is published."""
    error_message: str | None
    lora_config: LoraConfigAnswer
    training_config: TrainingConfigAnswer
    output_dir: str


class StoppedAnswer(_Answer):
    """A job that was cancelled."""

    job_id: str
    status: Literal["cancelled"]
    message: str


class UploadedAnswer(_Answer):
    """Texts that became a dataset."""

    dataset_name: str
    num_texts: int
    status: Literal["uploaded"]
    message: str


class AdapterMetrics(_Answer):
    """What is known of the training."""

    final_loss: float | None
    training_steps: int | None


class AllAdapterMetrics(AdapterMetrics):
    """The same, and how long it took."""

    training_time_minutes: float | None


class _Adapter(_Answer):
    name: str
    path: str
    model_name: str
    created_at: str
    size_mb: float
    description: str
    is_loaded: bool


class AdapterSummaryAnswer(_Adapter):
    """An adapter in the list."""

    metrics: AdapterMetrics


class AdaptersAnswer(_Answer):
    """All adapters, the newest first."""

    adapters: list[AdapterSummaryAnswer]
    total: int
    current_adapter: str | None


class AdapterAnswer(_Adapter):
    """An adapter by itself."""

    training_config: dict[str, Any]
    metrics: AllAdapterMetrics


class LoadedAnswer(_Answer):
    """An adapter that was loaded."""

    adapter_name: str
    status: Literal["loaded"]
    message: str


class UnloadedAnswer(_Answer):
    """An adapter that was unloaded."""

    adapter_name: str
    status: Literal["unloaded"]
    message: str


class DeletedAnswer(_Answer):
    """An adapter that was deleted."""

    adapter_name: str
    status: Literal["deleted"]
    message: str


class ChatAnswer(RootModel[dict[str, Any]]):
    """A chat completion as the engine makes it, in OpenAI's shape; with `stream: true` server-sent events."""


class ChatRequest(BaseModel):
    """OpenAI's request; whatever `model` says, the loaded adapter answers."""

    model_config = ConfigDict(extra="allow")

    messages: list[dict[str, Any]]
    model: str = ""
    stream: bool = False
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
