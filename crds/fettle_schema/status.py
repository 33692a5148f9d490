"""`status` of a TrainingJob: what the operator and the receiver report."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from fettle_schema.base import Model, ShortText
from fettle_schema.vocabulary import Phase, Stage


class Condition(Model):
    """A condition, as Kubernetes means it."""

    type: ShortText
    """Type, for example `Admitted`."""
    status: Literal["True", "False", "Unknown"]
    """Whether it holds."""
    reason: Annotated[str, Field(max_length=1024)]
    """One CamelCase word for machines."""
    message: Annotated[str, Field(max_length=32768)] = ""
    """A sentence for people."""
    last_transition_time: datetime
    """When `status` changed last."""
    observed_generation: int = 0
    """`metadata.generation` that this was computed from."""


class GpuSeconds(Model):
    """GPU time of the job: GPUs × seconds in which its pods ran."""

    total: float = 0
    """All of it."""
    wasted: float = 0
    """What no checkpoint kept."""


class Attempts(Model):
    """How often the job was run."""

    current: int = 0
    """Number of the newest attempt; 1 is the first."""
    restarts: int = 0
    """Attempts after the first."""
    failures: int = 0
    """Attempts that failed and were repeated; counts against `limits.maxRetries`."""
    preemptions: int = 0
    """Attempts and pods that were taken away; not held against the job."""
    counted_pods: Annotated[list[ShortText], Field(max_length=64)] = []
    """Uids of pods that are in these counts."""
    without_progress: int = 0
    """Preempted or replaced attempts in a row that made no step."""
    last_step: int = 0
    """Steps that were done when a run was taken away last: what the next one is measured by."""


class Progress(Model):
    """Where the newest attempt is. Written by the receiver."""

    stage: Stage | None = None
    """What the run is doing."""
    percent: Annotated[float, Field(ge=0, le=100)] | None = None
    """Share of all steps that is done."""
    step: int | None = None
    """Optimizer steps done."""
    total_steps: int | None = None
    """Optimizer steps in all."""
    epoch: float | None = None
    """Passes over the dataset done."""
    loss: float | None = None
    """Training loss of the last report."""
    eval_loss: float | None = None
    """Loss of the last evaluation."""
    learning_rate: float | None = None
    """Learning rate of the last report."""
    grad_norm: float | None = None
    """Norm of the gradient before clipping."""
    tokens_per_second: float | None = None
    """Tokens trained on in a second, all processes together."""
    eta_seconds: float | None = None
    """Time to the last step."""
    eta: ShortText | None = None
    """The same for people, for example `3m20s`."""
    peak_memory_bytes: int | None = None
    """Most memory used by one process: of the GPU, or resident on the CPU."""
    attempt: int | None = None
    """The attempt that reported."""
    summary: ShortText | None = None
    """One line, for example `12/150`."""
    last_report_time: datetime | None = None
    """When the trainer reported last."""


class Checkpoint(Model):
    """A complete checkpoint in the workspace."""

    name: ShortText
    """`checkpoint-<step>`."""
    step: int
    """Optimizer steps done."""
    attempt: int
    """The attempt that wrote it."""
    path: Annotated[str, Field(max_length=512)]
    """Directory inside the workspace."""
    created_at: datetime | None = None
    """When it was complete."""


class Failure(Model):
    """Why the job failed, and what to do."""

    code: ShortText
    """One word; see the table of failure codes."""
    message: Annotated[str, Field(max_length=4096)]
    """What went wrong."""
    hint: Annotated[str, Field(max_length=4096)] = ""
    """What to do about it."""
    exit_code: int | None = None
    """Exit status of the trainer."""
    pod: ShortText | None = None
    """Pod that failed."""
    attempt: int | None = None
    """Attempt that failed."""


class Resolved(Model):
    """What was really used where the spec left a choice."""

    image: Annotated[str, Field(max_length=512)] | None = None
    """Trainer image."""
    gpus: int | None = None
    """GPUs of all pods of a run together."""
    config_digest: ShortText | None = None
    """Digest of the RunConfig without the attempt."""
    hyperparameters: dict[str, Any] | None = None
    """All hyperparameters after defaults."""
    base_model_revision: ShortText | None = None
    """Commit of the base model, or digest of its files."""
    dataset_digest: ShortText | None = None
    """Digest of the examples."""
    estimate: dict[str, Any] | None = None
    """Estimate of memory and time."""


class OutputStatus(Model):
    """What was published."""

    kind: Literal["adapter", "model", "report"]
    """An adapter, a full or merged model, or a benchmark report."""
    path: Annotated[str, Field(max_length=512)]
    """Directory inside the workspace."""
    digest: ShortText
    """Digest of its files."""


class TrainingJobStatus(Model):
    """What is known about a TrainingJob."""

    observed_generation: int | None = None
    """`metadata.generation` that the conditions were computed from."""
    phase: Phase | None = None
    """Summary for people, derived from the conditions."""
    conditions: Annotated[
        list[Condition],
        Field(
            max_length=16,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]},
        ),
    ] = []
    """Accepted, Admitted, PodsReady, Running, CheckpointAvailable, Suspended, Complete, Failed."""
    reason: ShortText | None = None
    """Reason of the condition that decides the phase."""
    message: Annotated[str, Field(max_length=4096)] | None = None
    """Its message."""
    start_time: datetime | None = None
    """When the first run started."""
    completion_time: datetime | None = None
    """When the job ended."""
    active_seconds: float | None = None
    """Time in which its pods ran, waiting and suspension left out."""
    gpu_seconds: GpuSeconds | None = None
    """GPU time."""
    attempts: Attempts | None = None
    """How often the job was run."""
    progress: Progress | None = None
    """Where the newest attempt is."""
    checkpoints: Annotated[list[Checkpoint], Field(max_length=10)] | None = None
    """The newest complete checkpoints."""
    failure: Failure | None = None
    """Why the job failed."""
    resolved: Resolved | None = None
    """What was really used where the spec left a choice."""
    output: OutputStatus | None = None
    """What was published."""
    adapter: ShortText | None = None
    """Name of the Adapter that came out."""


RECEIVER_FIELDS = frozenset({"progress", "checkpoints"})
"""Fields of `status` that the receiver owns; the operator owns all others."""
