"""Pure parts of the verdict: several ranks, and the termination message."""

import json

import pytest

from fettle_schema.run import RunResult
from fettle_trainer.verdict import Ending, conclude, termination_message, worst_exit_code


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
