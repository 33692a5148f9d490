"""Pure parts of the verdict: several ranks, and the termination message."""

import json
from typing import Any

import pytest

from fettle_schema.run import RunResult
from fettle_trainer.verdict import (
    RESTART,
    Ending,
    conclude,
    conclude_several,
    termination_message,
    wants_restart,
    worst_exit_code,
)

TORCHRUN_FAILED = Ending(exit_status=1, death_signal=None, step=4)


@pytest.mark.parametrize(
    ("codes", "worst"),
    [
        ([0, 0], 0),
        ([85, 85], 85),
        ([0, 85], 85),
        ([75, 85], 75),
        ([1, 75], 75),
        ([1, 85], 1),
        ([137, 75], 137),
        ([67, 137], 67),
        ([64, 65, 66, 67], 64),
        ([70, 64], 70),
        ([71, 70, 1], 71),
    ],
)
def test_worst_code_of_several_processes(codes: list[int], worst: int) -> None:
    assert worst_exit_code(codes) == worst
    assert worst_exit_code(reversed(codes)) == worst


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ({0: 0, 1: 0}, 0),
        ({0: 85, 1: 85}, 85),
        ({0: 75, 1: 65}, 65),
        ({0: 75, 1: 71}, 71),
        ({0: 75, 1: 1}, 75),
        ({0: 85}, 75),
        ({1: 71}, 71),
        ({}, 75),
        ({0: 0, 1: 0, 2: 67}, 67),
    ],
)
def test_verdict_of_two_own_processes_is_the_worst(codes: dict[int, int], expected: int) -> None:
    results = {rank: {"exitCode": code, "step": rank} for rank, code in codes.items()}

    assert conclude_several(TORCHRUN_FAILED, results, range(2))["exitCode"] == expected


def test_text_of_the_verdict_is_that_of_the_process_with_the_worst_code() -> None:
    lost = {"exitCode": 75, "failure": {"code": "InfrastructureError", "message": "the connection was lost"}}
    cause = {"exitCode": 71, "failure": {"code": "LossNotFinite", "message": "the loss of step 4 is not finite"}}

    assert conclude_several(TORCHRUN_FAILED, {0: lost, 1: cause}, range(2)) == cause


def test_process_without_a_result_is_named_unless_the_reason_is_known() -> None:
    lost = {"exitCode": 75, "failure": {"code": "InfrastructureError", "message": "the connection was lost"}}

    def verdict(**changes: Any) -> RunResult:
        ending = Ending(exit_status=1, death_signal=None, step=4, **changes)
        return RunResult.model_validate(conclude_several(ending, {0: lost}, range(3)))

    assert verdict().failure is not None
    assert "training process 1, 2 ended without a word" in str(verdict().failure)
    assert "no progress for 900 s" in str(verdict(stalled_seconds=900.0).failure)
    assert "asked to stop" in str(verdict(was_asked_to_stop=True).failure)
    assert verdict(has_disk_full=True).exit_code == 67


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([RESTART, 75], True), ([RESTART, 0], True), ([RESTART], True), ([RESTART, 67], False), ([75, 75], False)],
)
def test_restart_is_asked_for_by_one_and_refused_by_what_is_final(codes: list[int], expected: bool) -> None:
    assert wants_restart({rank: {"exitCode": code} for rank, code in enumerate(codes)}) is expected


def test_restart_that_is_not_given_is_75() -> None:
    results = {rank: {"exitCode": RESTART} for rank in range(2)}

    assert conclude_several(Ending(1, None, was_asked_to_stop=True), results, range(2))["exitCode"] == 75


def test_own_trainer_owes_a_result() -> None:
    result = RunResult.model_validate(conclude(Ending(exit_status=0, death_signal=None)))

    assert result.exit_code == 1
    assert result.failure is not None
    assert result.failure.code == "TrainerError"


def test_own_result_wins_over_how_the_process_ended() -> None:
    assert conclude(Ending(None, 11, result={"exitCode": 0, "step": 3})) == {"exitCode": 0, "step": 3}


def test_message_leaves_out_what_matters_least() -> None:
    result = {
        "exitCode": 0,
        "output": {"kind": "adapter", "path": "adapters/a/0", "digest": "sha256:0"},
        "warnings": ["w" * 3000],
        "targetModules": ["m" * 100] * 50,
        "metrics": {"loss": 0.5},
    }

    short = json.loads(termination_message(result))
    assert set(short) == {"exitCode", "output", "metrics"}
    assert json.loads(termination_message({"exitCode": 0})) == {"exitCode": 0}
