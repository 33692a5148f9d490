"""The answers of OpenAI's API, field by field, for its OpenAPI document. Nothing is validated with these models."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, RootModel

Auto = Literal["auto"]


class _Answer(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, title=None)


class ErrorDetail(_Answer):
    """What went wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class ErrorAnswer(_Answer):
    """Every error."""

    error: ErrorDetail


class FileAnswer(_Answer):
    """An uploaded file, or the result file of a job."""

    object: Literal["file"]
    id: str
    bytes: int
    created_at: int
    expires_at: int | None
    filename: str
    purpose: str
    status: Literal["uploaded", "processed", "error"]
    status_details: str | None


class _Page(_Answer):
    object: Literal["list"]
    first_id: str | None
    last_id: str | None
    has_more: bool


class FilesAnswer(_Page):
    """One page of files."""

    data: list[FileAnswer]


class DeletedFileAnswer(_Answer):
    """A file that was deleted."""

    object: Literal["file"]
    id: str
    deleted: bool


class HyperparametersAnswer(_Answer):
    """Hyperparameters; `auto` as long as nothing is decided."""

    n_epochs: Auto | int
    batch_size: Auto | int
    learning_rate_multiplier: Auto | float


class DpoHyperparametersAnswer(HyperparametersAnswer):
    """The same for `dpo`."""

    beta: Auto | float


class SupervisedAnswer(_Answer):
    """Settings of the method `supervised`."""

    hyperparameters: HyperparametersAnswer


class DpoAnswer(_Answer):
    """Settings of the method `dpo`."""

    hyperparameters: DpoHyperparametersAnswer


class SupervisedMethodAnswer(_Answer):
    """Training on answers."""

    type: Literal["supervised"]
    supervised: SupervisedAnswer


class DpoMethodAnswer(_Answer):
    """Training on preferences."""

    type: Literal["dpo"]
    dpo: DpoAnswer


class WandbAnswer(_Answer):
    """Settings of Weights & Biases."""

    project: str
    name: str | None
    entity: str | None
    tags: list[str]


class IntegrationAnswer(_Answer):
    """Where metrics go as well."""

    type: Literal["wandb"]
    wandb: WandbAnswer


class JobErrorAnswer(_Answer):
    """Why a job failed."""

    code: str
    message: str
    param: str | None


class JobAnswer(_Answer):
    """A fine-tuning job."""

    object: Literal["fine_tuning.job"]
    id: str
    created_at: int
    error: JobErrorAnswer | None
    estimated_finish: int | None
    fine_tuned_model: str | None
    finished_at: int | None
    hyperparameters: HyperparametersAnswer
    integrations: list[IntegrationAnswer]
    metadata: dict[str, str] | None
    method: SupervisedMethodAnswer | DpoMethodAnswer
    model: str
    organization_id: str
    result_files: list[str]
    seed: int
    status: Literal["validating_files", "queued", "running", "succeeded", "failed", "cancelled"]
    trained_tokens: int | None
    training_file: str
    validation_file: str | None


class JobsAnswer(_Page):
    """One page of jobs, the newest first."""

    data: list[JobAnswer]


class EventAnswer(_Answer):
    """Something that happened to a job."""

    object: Literal["fine_tuning.job.event"]
    id: str
    created_at: int
    level: Literal["info", "warn", "error"]
    message: str
    type: Literal["message", "metrics"]
    data: dict[str, Any] | None


class EventsAnswer(_Page):
    """One page of events, the newest first."""

    data: list[EventAnswer]


class CheckpointMetrics(_Answer):
    """What was measured at a step."""

    step: int
    train_loss: float | None
    train_mean_token_accuracy: float | None
    valid_loss: float | None
    valid_mean_token_accuracy: float | None
    full_valid_loss: float | None
    full_valid_mean_token_accuracy: float | None


class CheckpointAnswer(_Answer):
    """A checkpoint."""

    object: Literal["fine_tuning.job.checkpoint"]
    id: str
    created_at: int
    fine_tuned_model_checkpoint: str
    fine_tuning_job_id: str
    metrics: CheckpointMetrics
    step_number: int


class CheckpointsAnswer(_Page):
    """One page of checkpoints, the highest step first."""

    data: list[CheckpointAnswer]


class ModelAnswer(_Answer):
    """A model."""

    object: Literal["model"]
    id: str
    created: int
    owned_by: str


class ModelsAnswer(_Answer):
    """All models."""

    object: Literal["list"]
    data: list[ModelAnswer]


class ChatAnswer(RootModel[dict[str, Any]]):
    """A chat completion as the engine makes it; with `stream: true` server-sent events."""


class DeletedModelAnswer(_Answer):
    """A model that was deleted."""

    object: Literal["model"]
    id: str
    deleted: bool
