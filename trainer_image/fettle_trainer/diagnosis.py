"""From an exception to the reason that a person reads. Imports no torch: what it asks of torch is there if loaded."""

import errno
import sys
import traceback

from fettle_data.findings import DatasetError, FindingCode
from fettle_schema.run import RunResult
from fettle_schema.status import Failure
from fettle_schema.vocabulary import ExitCode, FailureCode
from fettle_trainer.failures import DISK_HINT, MEMORY_HINT, TrainerFailure, is_disk_full

_MEMORY_TEXTS = ("out of memory", "can't allocate memory", "cannot allocate memory", "defaultcpuallocator")


def diagnose(error: BaseException) -> TrainerFailure | None:
    """The failure that `error` stands for; None if it is a fault of the trainer's own."""
    if isinstance(error, TrainerFailure):
        return error
    if isinstance(error, DatasetError):
        may_pass = error.code == FindingCode.UNREACHABLE
        return TrainerFailure(ExitCode.RETRY if may_pass else ExitCode.DATASET, str(error), error.hint)
    if is_disk_full(error):
        return TrainerFailure(ExitCode.DISK, f"the disk is full: {error}", DISK_HINT)
    if is_out_of_memory(error):
        return TrainerFailure(ExitCode.OUT_OF_MEMORY, f"out of memory: {str(error)[:500]}", MEMORY_HINT)
    return None


def failed_result(failure: TrainerFailure, attempt: int, step: int) -> RunResult:
    """The result of a run that `failure` ended."""
    return RunResult(
        exit_code=int(failure.exit_code),
        step=step,
        failure=Failure(
            code=str(failure.code),
            message=failure.message[:4096],
            hint=failure.hint[:4096],
            exit_code=int(failure.exit_code),
            attempt=attempt,
        ),
    )


def fault_result(error: BaseException, attempt: int, step: int) -> RunResult:
    """The result of a run that ended by a fault nobody foresaw: exit code 1, and where it happened."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    where = "; ".join(f"{frame.name} ({frame.filename.rpartition('/')[2]}:{frame.lineno})" for frame in frames)
    return RunResult(
        exit_code=1,
        step=step,
        failure=Failure(
            code=str(FailureCode.TRAINER_ERROR),
            message=f"{type(error).__name__}: {str(error)[:2000]} in {where}",
            hint="The whole trace is in log.txt of the job's directory.",
            exit_code=1,
            attempt=attempt,
        ),
    )


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory was asked for and refused, by Python, the system or torch."""
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    return isinstance(error, RuntimeError) and any(text in str(error).lower() for text in _MEMORY_TEXTS)
