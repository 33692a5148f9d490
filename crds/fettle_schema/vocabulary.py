"""Words that appear in status: phases, stages, condition types, failure codes and exit codes."""

from enum import IntEnum, StrEnum


class Phase(StrEnum):
    """Summary for people, derived from the conditions only."""

    PENDING = "Pending"
    QUEUED = "Queued"
    STARTING = "Starting"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    CANCELLED = "Cancelled"

    @property
    def is_finished(self) -> bool:
        """Nothing is ever started again for a job in this phase."""
        return self in (Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED)


class Stage(StrEnum):
    """What a run is doing."""

    LOADING_MODEL = "loading_model"
    LOADING_DATASET = "loading_dataset"
    TRAINING = "training"
    EVALUATING = "evaluating"
    SAVING = "saving"
    UPLOADING = "uploading"


class ConditionType(StrEnum):
    """Types of a TrainingJob's conditions."""

    ACCEPTED = "Accepted"
    ADMITTED = "Admitted"
    PODS_READY = "PodsReady"
    RUNNING = "Running"
    CHECKPOINT_AVAILABLE = "CheckpointAvailable"
    SUSPENDED = "Suspended"
    COMPLETE = "Complete"
    FAILED = "Failed"


class AdapterPhase(StrEnum):
    """Summary of an Adapter for people, derived from its conditions only."""

    PENDING = "Pending"
    AVAILABLE = "Available"
    LOADING = "Loading"
    LOADED = "Loaded"
    DEGRADED = "Degraded"
    FAILED = "Failed"


class AdapterConditionType(StrEnum):
    """Types of an Adapter's conditions."""

    ARTIFACT_READY = "ArtifactReady"
    COMPATIBLE = "Compatible"
    LOADED = "Loaded"


class ExitCode(IntEnum):
    """What the trainer's exit status means."""

    DONE = 0
    CONFIGURATION = 64
    DATASET = 65
    MODEL = 66
    DISK = 67
    OUT_OF_MEMORY = 70
    NON_FINITE = 71
    RETRY = 75
    CHECKPOINTED = 85

    @property
    def is_final(self) -> bool:
        """Another attempt would fail in the same way."""
        return self in _FINAL


_FINAL = frozenset(
    {
        ExitCode.CONFIGURATION,
        ExitCode.DATASET,
        ExitCode.MODEL,
        ExitCode.DISK,
        ExitCode.OUT_OF_MEMORY,
        ExitCode.NON_FINITE,
    }
)


class FailureCode(StrEnum):
    """`status.failure.code` and the reason of `Failed=True`."""

    CONFIGURATION = "ConfigurationInvalid"
    DATASET = "DatasetInvalid"
    MODEL = "ModelUnavailable"
    PUSH = "PushFailed"
    DISK = "DiskFull"
    OUT_OF_MEMORY = "OutOfMemory"
    OUT_OF_MEMORY_KILLED = "OutOfMemoryKilled"
    NON_FINITE = "LossNotFinite"
    STALLED = "Stalled"
    INFRASTRUCTURE = "InfrastructureError"
    TRAINER_ERROR = "TrainerError"
    RETRIES_EXHAUSTED = "RetriesExhausted"
    NO_PROGRESS = "NoProgress"
    IMAGE_PULL = "ImagePullFailed"
    POD_REFUSED = "PodRefused"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    PENDING_DEADLINE_EXCEEDED = "PendingDeadlineExceeded"
    NODE_LOST = "NodeLost"
    NAME_CONFLICT = "NameConflict"
    ADAPTER_CONFLICT = "AdapterConflict"
    CANCELLED = "Cancelled"


FAILURE_OF_EXIT: dict[ExitCode, FailureCode] = {
    ExitCode.CONFIGURATION: FailureCode.CONFIGURATION,
    ExitCode.DATASET: FailureCode.DATASET,
    ExitCode.MODEL: FailureCode.MODEL,
    ExitCode.DISK: FailureCode.DISK,
    ExitCode.OUT_OF_MEMORY: FailureCode.OUT_OF_MEMORY,
    ExitCode.NON_FINITE: FailureCode.NON_FINITE,
    ExitCode.RETRY: FailureCode.INFRASTRUCTURE,
}

SEVERITY: tuple[int, ...] = (
    ExitCode.NON_FINITE,
    ExitCode.OUT_OF_MEMORY,
    ExitCode.CONFIGURATION,
    ExitCode.DATASET,
    ExitCode.MODEL,
    ExitCode.DISK,
    137,
    ExitCode.RETRY,
)
"""Exit codes of several processes: the first of these that occurred is the verdict; any other failure comes last."""
