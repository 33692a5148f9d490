"""The answers of this API, field by field, for its OpenAPI document. Nothing is validated with these models."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, RootModel

Status = Literal["queued", "running", "completed", "failed", "cancelled"]


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, title=None, protected_namespaces=())


class ErrorAnswer(_Answer):
    """Every error."""

    detail: str | list[dict[str, Any]]
    """A sentence; for a request that is not valid, a list of `type`, `loc` and `msg`."""


class OverviewAnswer(_Answer):
    """What this API is."""

    name: str
    version: str
    description: str
    endpoints: list[dict[str, str]]


class StartedAnswer(_Answer):
    """A job that was made."""

    job_id: str
    status: Literal["started", "queued"]
    message: str
    warnings: list[str] = []
    """What is done otherwise than asked; left out where there is nothing to say."""


class ConfigAnswer(_Answer):
    """A request as it came, with defaults, but for the webhook."""

    model_name: str
    dataset_version: str
    template: str
    cutoff_len: int
    max_samples: int
    batch_size: int
    gradient_accumulation_steps: int
    learning_rate: float
    num_epochs: float
    save_steps: int
    lora_name: str
    lora_version: str | None
    lora_hf_repo: str | None
    adapter_path: str | None
    tracking_backend: str | None
    training_type: str


class JobAnswer(_Answer):
    """A job."""

    job_id: str
    status: Status
    """`queued` for the phases Pending, Queued and Suspended of a TrainingJob; `running` for Starting and Running;
    `completed` for Succeeded; `failed` for Failed; `cancelled` for Cancelled, and as soon as somebody has cancelled."""
    config: ConfigAnswer
    start_time: float | None
    """Seconds since 1970, when the job really started."""
    end_time: float | None
    tracking_url: str | None
    error: str | None
    output_path: str | None
    """Directory inside the workspace, once the result is published."""


class JobsAnswer(RootModel[list[JobAnswer]]):
    """All jobs, in order of arrival."""


class CancelledAnswer(_Answer):
    """A job that was cancelled."""

    status: Literal["cancelled"]
    message: str


class QueueAnswer(_Answer):
    """The queue."""

    is_training_running: bool
    queue_length: int
    queued_jobs: list[str]
    """Ids, the next one first."""
