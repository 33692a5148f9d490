"""`spec` of a TrainingJob: what the user asks for. FIELDS.md tells where each field comes from."""

from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import Field

from fettle_schema.adapter_parameters import AdapterParameters
from fettle_schema.base import (
    HubId,
    Model,
    ResourceName,
    Revision,
    ShortText,
    Text,
    WorkspacePath,
)
from fettle_schema.dataset import DatasetSpec
from fettle_schema.hyperparameters import Hyperparameters


class Method(StrEnum):
    """How the model is trained, or what else the trainer does with it."""

    SFT = "sft"
    DPO = "dpo"
    ORPO = "orpo"
    KTO = "kto"
    SIMPO = "simpo"
    CPO = "cpo"
    IPO = "ipo"
    MERGE = "merge"
    BENCHMARK = "benchmark"


class BaseModelSpec(Model):
    """The model that is trained on. Set exactly one of `id` and `path`."""

    id: HubId | None = None
    """Id on the Hugging Face hub; looked up in the workspace under `models/<id>` first."""
    revision: Revision | None = None
    """Branch, tag or commit of `id`. The commit that was used is in `status.resolved.baseModelRevision`."""
    path: WorkspacePath | None = None
    """Directory inside the workspace, for example `models/smollm2-135m`."""


class StartFrom(Model):
    """Start from another job's checkpoint or from an Adapter. Set exactly one of `trainingJob` and `adapter`."""

    training_job: ResourceName | None = None
    """Name of a TrainingJob in the same namespace."""
    checkpoint: Annotated[str, Field(pattern=r"^(latest|checkpoint-[0-9]{1,9})$", max_length=20)] | None = None
    """`latest` (the value if absent) or `checkpoint-<step>`, of `trainingJob`."""
    adapter: ResourceName | None = None
    """Name of an Adapter in the same namespace."""


class PushSpec(Model):
    """Upload the result to a repository of the Hugging Face hub."""

    repository: HubId
    """Repository, for example `acme/kubectl-helper`."""
    private: bool = True
    """Create it private."""
    merged: bool = False
    """Push the merged model instead of the adapter."""


class OutputSpec(Model):
    """What becomes of the result."""

    adapter_name: ResourceName | None = None
    """Name of the Adapter; the job's name if absent."""
    on_conflict: Literal["fail", "newVersion"] = "fail"
    """What to do when that Adapter exists already and belongs to another job."""
    merge: bool = False
    """Also publish the merged model under `models/`."""
    push: PushSpec | None = None
    """Upload the result to a hub."""


Quantity = Annotated[str, Field(max_length=32, pattern=r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$")]


class ResourcesSpec(Model):
    """What each run needs."""

    gpus_per_node: Annotated[int, Field(ge=0, le=64)] = 1
    """GPUs of one pod; 0 trains on the CPU."""
    nodes: Annotated[int, Field(ge=1, le=64)] = 1
    """Pods of one run."""
    gpu_resource: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$")] = (
        "nvidia.com/gpu"
    )
    """Extended resource that a GPU is."""
    cpu: Quantity | None = None
    """CPUs of one pod, for example `4`; the installation's default if absent."""
    memory: Quantity | None = None
    """Memory of one pod, for example `16Gi`; the installation's default if absent."""
    shared_memory: Quantity | None = None
    """Size of /dev/shm; 1Gi for each GPU if absent."""


class EnvironmentVariable(Model):
    """One variable of the trainer's environment. Secrets belong into `credentials.secretName`."""

    name: Annotated[str, Field(min_length=1, max_length=128, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
    """Name of the variable."""
    value: Text = ""
    """Its value."""


class Toleration(Model):
    """A toleration, as in a pod."""

    key: ShortText | None = None
    """Taint key; empty matches all."""
    operator: Literal["Exists", "Equal"] | None = None
    """`Equal` if absent."""
    value: ShortText | None = None
    """Taint value."""
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None
    """Taint effect; empty matches all."""
    toleration_seconds: int | None = None
    """How long a NoExecute taint is tolerated."""


class LocalObjectReference(Model):
    """A Secret in the same namespace."""

    name: ShortText
    """Name of the Secret."""


class RuntimeSpec(Model):
    """How the pod is made. Everything is optional; the installation has defaults."""

    image: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """Trainer image."""
    command: Annotated[list[Text], Field(min_length=1, max_length=64)] | None = None
    """Replaces the command of the image; `/etc/fettle/run.json` is given as its last argument. A transformers
    Trainer in it reports its progress by itself."""
    env: Annotated[
        list[EnvironmentVariable],
        Field(
            max_length=64,
            json_schema_extra={"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]},
        ),
    ] = []
    """Further environment variables, none of them secret."""
    node_selector: Annotated[dict[Annotated[str, Field(max_length=317)], ShortText], Field(max_length=32)] | None = None
    """Labels that the node must have."""
    tolerations: Annotated[list[Toleration], Field(max_length=32)] | None = None
    """Taints that are tolerated."""
    affinity: dict[str, Any] | None = None
    """Affinity, as in a pod."""
    runtime_class_name: ShortText | None = None
    """RuntimeClass, for example `nvidia`."""
    priority_class_name: ShortText | None = None
    """PriorityClass of the pods."""
    image_pull_secrets: Annotated[list[LocalObjectReference], Field(max_length=8)] | None = None
    """Secrets to pull the image with."""
    termination_grace_period_seconds: Annotated[int, Field(ge=5, le=86400)] | None = None
    """Time for a last checkpoint; the installation's default if absent."""


class SchedulingSpec(Model):
    """When the job may start."""

    queue: ResourceName = "default"
    """Queue of the installation."""
    priority: Literal["low", "normal", "high"] = "normal"
    """Order within the queue. May be changed while the job waits."""
    kueue_queue: Annotated[str, Field(max_length=253)] | None = None
    """LocalQueue of Kueue; the queues of the installation are then skipped."""


class CheckpointSpec(Model):
    """When training state is saved."""

    every_steps: Annotated[int, Field(ge=1, le=10_000_000)] = 50
    """Steps between two checkpoints."""
    keep_last: Annotated[int, Field(ge=1, le=10)] = 2
    """How many are kept, besides the one with the lowest evaluation loss."""
    on_termination: bool = True
    """Save one when the run is asked to stop."""


class LimitsSpec(Model):
    """How long and how often. May be changed while the job lives."""

    max_retries: Annotated[int, Field(ge=0, le=100)] = 3
    """Further attempts after failures that may pass; preemptions do not count."""
    active_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """The job fails after running this long in all."""
    pending_deadline_seconds: Annotated[int, Field(ge=1, le=31_536_000)] | None = None
    """The job fails after waiting this long to start."""
    startup_timeout_seconds: Annotated[int, Field(ge=1, le=604_800)] = 3600
    """A run is restarted when its first step takes longer."""
    stall_timeout_seconds: Annotated[int, Field(ge=1, le=604_800)] = 900
    """A run is restarted when it makes no progress for this long."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """The finished job is deleted after this time; its Adapter stays."""


class WandbSpec(Model):
    """Weights & Biases. The key comes from `credentials.secretName`."""

    project: ShortText
    """Project."""
    entity: ShortText | None = None
    """User or team."""
    run_name: ShortText | None = None
    """Name of the run; the job's name if absent."""
    tags: Annotated[list[ShortText], Field(max_length=32)] = []
    """Tags of the run."""
    notes: Text | None = None
    """Notes of the run."""


class MlflowSpec(Model):
    """MLflow. The server is given by MLFLOW_TRACKING_URI in `runtime.env` or the credentials."""

    experiment: ShortText
    """Experiment."""
    run_name: ShortText | None = None
    """Name of the run; the job's name if absent."""


class TrackingSpec(Model):
    """Where metrics are sent besides the workspace."""

    wandb: WandbSpec | None = None
    """Weights & Biases."""
    mlflow: MlflowSpec | None = None
    """MLflow."""
    tensorboard: bool = False
    """Write TensorBoard files into the job's directory."""


class CredentialsSpec(Model):
    """Secrets of the run, which only the kubelet reads."""

    secret_name: Annotated[str, Field(min_length=1, max_length=253)] | None = None
    """Secret in the same namespace with keys such as HF_TOKEN and WANDB_API_KEY."""


class WebhookSpec(Model):
    """A call when the job has ended."""

    url: Annotated[str, Field(min_length=8, max_length=2048, pattern=r"^https?://")]
    """Where to."""
    format: Literal["standard", "cluster"] = "standard"
    """`standard` is signed as Standard Webhooks; `cluster` is the body of that REST dialect."""


class TrainingJobSpec(Model):
    """One fine-tuning job. All of it is immutable but `suspend`, `cancel`, `scheduling.priority` and `limits`."""

    method: Method = Method.SFT
    """How the model is trained."""
    base_model: BaseModelSpec
    """The model that is trained on."""
    dataset: DatasetSpec | None = None
    """What is trained on; required but for `merge`."""
    adapter: Annotated[AdapterParameters, Field(default_factory=AdapterParameters)]
    """Which weights are trained."""
    hyperparameters: Annotated[Hyperparameters, Field(default_factory=Hyperparameters)]
    """How they are trained."""
    start_from: StartFrom | None = None
    """Start from another job's checkpoint or from an Adapter."""
    output: Annotated[OutputSpec, Field(default_factory=OutputSpec)]
    """What becomes of the result."""
    resources: Annotated[ResourcesSpec, Field(default_factory=ResourcesSpec)]
    """What each run needs."""
    runtime: Annotated[RuntimeSpec, Field(default_factory=RuntimeSpec)]
    """How the pod is made."""
    scheduling: Annotated[SchedulingSpec, Field(default_factory=SchedulingSpec)]
    """When the job may start."""
    checkpoint: Annotated[CheckpointSpec, Field(default_factory=CheckpointSpec)]
    """When training state is saved."""
    limits: Annotated[LimitsSpec, Field(default_factory=LimitsSpec)]
    """How long and how often."""
    tracking: Annotated[TrackingSpec, Field(default_factory=TrackingSpec)]
    """Where metrics are sent besides the workspace."""
    credentials: Annotated[CredentialsSpec, Field(default_factory=CredentialsSpec)]
    """Secrets of the run."""
    preflight: Literal["auto", "always", "skip"] = "auto"
    """Check dataset, model and memory before GPUs are claimed; `auto` does when GPUs are asked for."""
    webhook: WebhookSpec | None = None
    """A call when the job has ended."""
    suspend: bool = False
    """Save a checkpoint, free the GPUs and wait; set to false to continue."""
    cancel: bool = False
    """Stop for good. Cannot be taken back."""
