"""Why a run cannot go on: one exception with exit code, failure code, sentence and hint. Standard library only."""

import errno

from fettle_schema.errors import FettleError
from fettle_schema.vocabulary import FAILURE_OF_EXIT, ExitCode, FailureCode

DISK_FULL_ERRNOS = frozenset({errno.ENOSPC, errno.EDQUOT})

DISK_HINT = (
    "Free space on the workspace volume or enlarge it; lower spec.checkpoint.keepLast to keep fewer checkpoints."
)
MEMORY_HINT = (
    "Lower spec.hyperparameters.batchSize (raise gradientAccumulationSteps to compensate) or maxLength, set "
    "gradientCheckpointing: true, or raise spec.resources.memory."
)
NON_FINITE_HINT = (
    "Lower spec.hyperparameters.learningRate or raise warmupRatio; check maxGradNorm, and the dataset for broken rows."
)


class TrainerFailure(FettleError):
    """Ends the run with `exit_code`; the message says what is wrong and where, the hint what to do next."""

    def __init__(
        self, exit_code: ExitCode, message: str, hint: str = "", *, failure_code: FailureCode | None = None
    ) -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.message = message
        self.hint = hint
        self.code = failure_code or FAILURE_OF_EXIT[exit_code]


def configuration_failure(field: str, message: str, hint: str = "") -> TrainerFailure:
    """A RunConfig that this trainer cannot follow; `field` is the path in the TrainingJob."""
    return TrainerFailure(ExitCode.CONFIGURATION, f"{field}: {message}", hint)


def disk_failure(error: OSError, doing: str) -> TrainerFailure:
    """A full workspace; `doing` completes 'could not …'."""
    return TrainerFailure(ExitCode.DISK, f"could not {doing}: {error.strerror or error}", DISK_HINT)


def is_disk_full(error: BaseException | None) -> bool:
    """Whether `error`, or what caused it, is a full disk. Libraries in Rust and C++ only leave the text."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(error, OSError) and error.errno in DISK_FULL_ERRNOS:
            return True
        if any(text in str(error) for text in ("No space left on device", "os error 28", "Disk quota exceeded")):
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False
