"""Configuration of the operator's process, read once from `FETTLE_…` variables. Holds values and no decisions."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from fettle_schema.names import WORKSPACE_CLAIM, WORKSPACE_DIRECTORY

Quantity = str
"""A Kubernetes quantity, for example `500m` or `4Gi`."""


class QueueLimits(BaseModel):
    """What may run at once in one queue; None is unlimited."""

    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel, populate_by_name=True)

    max_running: Annotated[int, Field(ge=0)] | None = None
    """Jobs."""
    max_gpus: Annotated[int, Field(ge=0)] | None = None
    """GPUs of all jobs together."""

    @property
    def is_unlimited(self) -> bool:
        """Whether every job may start at once."""
        return self.max_running is None and self.max_gpus is None


class OperatorSettings(BaseSettings):
    """Everything an installation decides. Only `trainer_image` has no default."""

    model_config = SettingsConfigDict(env_prefix="FETTLE_", frozen=True, extra="ignore")

    trainer_image: str
    """Image of runs that name none."""
    watch_namespaces: Annotated[list[str], NoDecode] = []
    """Namespaces, comma-separated; empty means all."""
    receiver_url: str | None = None
    """Base URL of the progress receiver, as pods reach it. Without it runs report into their files only."""
    queues: dict[str, QueueLimits] = {}
    """JSON: queue → {"maxRunning": 1, "maxGpus": 8}. `default` exists always; a queue that is missing here does not."""

    requires_workspace_claim: bool = True
    """Whether a job waits until its namespace has the claim."""
    workspace_claim: str = WORKSPACE_CLAIM
    """Name of the claim that runs mount."""
    workspace_on_one_node: bool = False
    """Whether the claim is ReadWriteOnce: runs then go to the node where another pod mounts it."""

    trainer_cpu_request: Quantity = "1"
    """CPU request of a trainer whose job names none."""
    trainer_cpu_limit: Quantity | None = None
    """CPU limit of a trainer whose job names none."""
    trainer_memory_request: Quantity = "2Gi"
    """Memory request of a trainer whose job names none."""
    trainer_memory_limit: Quantity | None = None
    """Memory limit of a trainer whose job names none."""
    trainer_image_pull_policy: str = "IfNotPresent"
    """imagePullPolicy of runs."""
    trainer_service_account: str = "default"
    """ServiceAccount of runs; it is the identity of their progress token and needs no permission."""
    termination_grace_period_seconds: int = 120
    """Time for a last checkpoint where the job names none."""
    progress_token_seconds: Annotated[int, Field(ge=600)] = 3600
    """Lifetime of a progress token; the kubelet renews it."""

    pod_start_timeout_seconds: float = 300
    """How long an image may fail to be pulled, or a container to be made, before the job fails."""
    lost_pod_seconds: float = 120
    """How long after its grace period a terminating pod is given up."""
    retry_backoff_seconds: float = 10
    """Wait before the second attempt after a failure; doubles up to 300."""
    source_check_seconds: float = 15
    """How often a job looks again for what it waits for (claim, job or adapter to start from)."""

    loads_adapters: bool = True
    """Whether Adapters are loaded into engine pods; on one machine there are none."""
    engine_workspace: str = WORKSPACE_DIRECTORY
    """Where engines see the workspace."""
    engine_keys_directory: Path | None = None
    """Keys of engines, one a file; the key NAME of a namespace is the file `NAMESPACE.NAME`, so that nobody gets
    another namespace's."""
    engine_key_name: str | None = None
    """Name of the key for Adapters that name none, in namespaces that have it."""
    engine_max_lora_rank: Annotated[int, Field(ge=1)] | None = None
    """Largest rank of engines that do not tell theirs (pod annotation `fettle.dev/max-lora-rank`); None tries."""
    engine_check_seconds: Annotated[float, Field(gt=0)] = 4
    """How often engines are asked what they have, in namespaces that have something to load."""
    engine_give_up_seconds: float = 60
    """How long the deletion of an Adapter waits for engines that do not answer."""
    verification_seconds: float = 60
    """How old a verification of an adapter's files may be when they are loaded into an engine."""
    examination_retry_seconds: float = 60
    """Wait before files that could not be used are looked at again; grows to an hour."""

    workers: Annotated[int, Field(ge=1)] = 32
    """Jobs that are reconciled at the same time; mostly they wait for lists, up to 0.1 s while other kinds change."""
    adapter_workers: Annotated[int, Field(ge=1)] = 4
    """Adapters, and namespaces with engines, that are looked at at the same time."""
    resync_seconds: Annotated[float, Field(gt=0)] = 300
    """How often everything is listed, so that a lost event costs minutes."""
    post_events: bool = True
    """Whether changes of phase are posted as Kubernetes events."""

    lease_name: str = "fettle-operator"
    """Lease by which one of several replicas leads."""
    lease_namespace: str = "default"
    """Its namespace."""
    lease_duration_seconds: float = 15
    """Time after which another replica may take over."""
    lease_renew_deadline_seconds: float = 10
    """Time after which a leader that cannot renew exits; shorter than the duration."""
    lease_retry_seconds: float = 2
    """Time between two renewals."""

    http_port: int = 8080
    """Port of /healthz and /metrics; 0 takes a free one."""
    log_level: str = "INFO"
    """DEBUG, INFO, WARNING or ERROR."""
    log_format: str = "text"
    """`text` is key=value, `json` one object a line."""

    @field_validator("watch_namespaces", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    def queue_limits(self, queue: str) -> QueueLimits | None:
        """Limits of a queue; None if the installation has no such queue."""
        return self.queues.get(queue) or (QueueLimits() if queue == "default" or not self.queues else None)
