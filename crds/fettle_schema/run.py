"""The files between operator and trainer: RunConfig goes in, ProgressEvents and a RunResult come out."""

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field

from fettle_schema.adapter_parameters import AdapterParameters
from fettle_schema.base import Model
from fettle_schema.dataset import DatasetSpec
from fettle_schema.hyperparameters import Hyperparameters
from fettle_schema.status import Checkpoint, Failure, OutputStatus
from fettle_schema.training_job import BaseModelSpec, CheckpointSpec, Method, PushSpec, TrackingSpec
from fettle_schema.vocabulary import Stage


class RunIdentity(Model):
    """Which job, and which attempt of it."""

    name: str
    """Name of the TrainingJob."""
    namespace: str
    """Its namespace."""
    uid: str
    """Its uid."""
    attempt: Annotated[int, Field(ge=0)]
    """1 is the first; 0 is the preflight."""


class RunStart(Model):
    """Weights or state to start from, besides the job's own checkpoints."""

    job_directory: str | None = None
    """Directory of another job inside the workspace, whose checkpoint is continued."""
    checkpoint: str = "latest"
    """`latest` or `checkpoint-<step>` of that job."""
    adapter_path: str | None = None
    """Published adapter inside the workspace that training starts from."""


class RunOutput(Model):
    """What to publish, and under which name."""

    name: str
    """Directory name below `adapters/` or `models/`."""
    merge: bool = False
    """Also publish the merged model."""
    push: PushSpec | None = None
    """Upload the result."""


class RunLimits(Model):
    """Times that the supervisor watches."""

    startup_timeout_seconds: float = 3600
    """Longest time before the first step, without any byte loaded or change of stage."""
    stall_timeout_seconds: float = 900
    """Longest time without progress afterwards."""
    termination_grace_period_seconds: float = 120
    """Time between SIGTERM and SIGKILL from outside."""


class RunTopology(Model):
    """How many processes train together."""

    nodes: int = 1
    """Pods."""
    processes_per_node: int = 1
    """One for each GPU, or one on the CPU."""
    uses_gpu: bool = False
    """Whether a missing GPU is an error."""
    rendezvous: str | None = None
    """`host:port` of the first pod, where there are several."""


class RunConfig(Model):
    """`run.json`: everything a run depends on. The same in a test, a process and a pod; it holds no secret."""

    schema_version: Literal["fettle.dev/run/v1alpha1"] = "fettle.dev/run/v1alpha1"
    """Version of this file."""
    job: RunIdentity
    """Which job, and which attempt of it."""
    directory: str
    """Directory of the job inside the workspace, for example `jobs/demo-1a2b3c4d`."""
    method: Method
    """How the model is trained."""
    base_model: BaseModelSpec
    """The model that is trained on."""
    dataset: DatasetSpec | None = None
    """What is trained on."""
    adapter: AdapterParameters
    """Which weights are trained; nothing is left to default."""
    hyperparameters: Hyperparameters
    """How; nothing that the method has is left to default."""
    checkpoint: CheckpointSpec
    """When training state is saved."""
    start: RunStart | None = None
    """Where to start from."""
    output: RunOutput
    """What to publish."""
    limits: Annotated[RunLimits, Field(default_factory=RunLimits)]
    """Times that the supervisor watches."""
    topology: Annotated[RunTopology, Field(default_factory=RunTopology)]
    """How many processes train together."""
    tracking: Annotated[TrackingSpec, Field(default_factory=TrackingSpec)]
    """Where metrics are sent besides the workspace."""
    command: list[str] | None = None
    """Replaces the training process, for images that bring their own."""


class ProgressEvent(Model):
    """One report of a run: a line of `metrics.jsonl`, and the body of a post to the receiver."""

    time: datetime
    """When it was measured."""
    attempt: int
    """Which attempt reports."""
    kind: Literal["stage", "step", "evaluation", "checkpoint", "warning", "end"] = "step"
    """What happened."""
    stage: Stage | None = None
    """What the run is doing."""
    step: int | None = None
    """Optimizer steps done."""
    total_steps: int | None = None
    """Optimizer steps in all."""
    epoch: float | None = None
    """Passes over the dataset done."""
    loss: float | None = None
    """Training loss."""
    eval_loss: float | None = None
    """Evaluation loss."""
    learning_rate: float | None = None
    """Learning rate."""
    grad_norm: float | None = None
    """Norm of the gradient before clipping."""
    tokens: int | None = None
    """Tokens trained on since the first step of the first attempt."""
    tokens_per_second: float | None = None
    """Tokens trained on in a second, all processes together."""
    eta_seconds: float | None = None
    """Time to the last step."""
    peak_memory_bytes: int | None = None
    """Most memory used by one process."""
    loaded_bytes: int | None = None
    """Bytes of the model or the dataset loaded so far; what stall detection sees before the first step."""
    checkpoint: Checkpoint | None = None
    """The checkpoint that was completed."""
    message: str | None = None
    """A sentence, for warnings."""


class RunResult(Model):
    """`result.json` and, shortened to 4096 bytes, the termination message: the verdict of one attempt."""

    exit_code: int
    """See ExitCode."""
    step: int = 0
    """Optimizer steps done."""
    started_from_step: int = 0
    """Step of the checkpoint that the attempt continued; 0 for a fresh start."""
    failure: Failure | None = None
    """What went wrong."""
    output: OutputStatus | None = None
    """What was published."""
    merged_output: OutputStatus | None = None
    """The merged model, where it was asked for."""
    pushed_url: str | None = None
    """Commit on the hub that holds the result, where a push was asked for."""
    size_bytes: int | None = None
    """Size of the published files."""
    rank: int | None = None
    """Rank of the adapter."""
    target_modules: list[str] | None = None
    """Modules that it changes."""
    base_model_revision: str | None = None
    """Commit of the base model, or digest of its files."""
    dataset_digest: str | None = None
    """Digest of the examples."""
    estimate: dict[str, Any] | None = None
    """Estimate of memory, computed from the model's configuration."""
    metrics: dict[str, Any] = {}
    """Final numbers: loss, evalLoss, trainSeconds, tokens, tokensPerSecond, peakMemoryBytes."""
    warnings: list[str] = []
    """What was noticed on the way."""
