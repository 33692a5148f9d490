"""Exceptions of libraries become codes, sentences and hints."""

import errno
import os

import pytest

from fettle_data.findings import DatasetError, FindingCode
from fettle_trainer.diagnosis import diagnose, failed_result, fault_result
from fettle_trainer.failures import configuration_failure


def full_disk_far_below() -> Exception:
    try:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise RuntimeError("could not save") from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (configuration_failure("spec.method", "dpo is not supported"), 64),
        (DatasetError(FindingCode.EMPTY_DATASET, "train.jsonl: there are no rows"), 65),
        (DatasetError(FindingCode.UNREACHABLE, "trl-lib/Capybara: the hub cannot be reached"), 75),
        (OSError(errno.ENOSPC, "No space left on device", "checkpoint-50"), 67),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 67),
        (RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"), 67),
        (full_disk_far_below(), 67),
        (MemoryError(), 70),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory"), 70),
        (RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"), 70),
    ],
)
def test_known_errors_have_a_code_and_a_hint(error: Exception, code: int) -> None:
    failure = diagnose(error)

    assert failure is not None
    assert failure.exit_code == code
    result = failed_result(failure, attempt=2, step=3)
    assert (result.exit_code, result.step) == (code, 3)
    assert result.failure is not None
    assert result.failure.attempt == 2


def test_fault_of_our_own_says_where() -> None:
    with pytest.raises(KeyError) as fault:
        raise KeyError("lost")

    assert diagnose(fault.value) is None
    result = fault_result(fault.value, attempt=1, step=0)
    assert result.exit_code == 1
    assert result.failure is not None
    assert "KeyError" in result.failure.message
    assert "test_diagnosis.py" in result.failure.message
