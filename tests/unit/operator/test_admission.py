"""Who of a queue may start."""

from typing import Any

import pytest

from fettle_operator.admission import Place, QueuedJob, decide
from fettle_operator.settings import QueueLimits


def job(name: str, place: str = "waiting", gpus: int = 1, priority: str = "normal", age: int = 0) -> QueuedJob:
    """`age` orders jobs: a larger one is older."""
    created = f"2026-01-01T00:00:{59 - age:02}Z"
    return QueuedJob(("ns", name), "default", Place(place), priority, created, gpus)


@pytest.mark.parametrize(
    ("jobs", "limits", "admitted"),
    [
        ([job("a"), job("b")], {}, ["a", "b"]),
        ([job("a"), job("b")], {"max_running": 1}, ["a"]),
        ([job("z", age=5), job("a")], {"max_running": 1}, ["z"]),
        ([job("z", age=5), job("a", priority="high")], {"max_running": 1}, ["a"]),
        ([job("a", priority="low", age=9), job("b")], {"max_running": 1}, ["b"]),
        ([job("r", "holding"), job("a")], {"max_running": 1}, []),
        ([job("a")], {"max_running": 0}, []),
        ([job("r", "holding", gpus=4), job("a", gpus=4), job("b", gpus=1)], {"max_gpus": 8}, ["a"]),
        ([job("r", "holding", gpus=4), job("big", gpus=8, age=1), job("small")], {"max_gpus": 8}, []),
        ([job("never", gpus=9, age=1), job("small")], {"max_gpus": 8}, ["small"]),
        ([job("cpu", gpus=0)], {"max_gpus": 0}, ["cpu"]),
        ([job("a", gpus=4), job("b", gpus=4), job("c", gpus=4)], {"max_running": 2, "max_gpus": 64}, ["a", "b"]),
    ],
)
def test_one_pass_admits_by_priority_age_and_name(
    jobs: list[QueuedJob], limits: dict[str, Any], admitted: list[str]
) -> None:
    for order in (jobs, jobs[::-1]):
        decisions = decide("default", order, QueueLimits(**limits))
        assert sorted(key[1] for key, decision in decisions.items() if decision.is_admitted) == admitted


def test_the_others_learn_their_position_and_why() -> None:
    jobs = [job("r", "holding", gpus=2), job("a", age=2), job("b", age=1)]
    decisions = decide("default", jobs, QueueLimits(max_running=1, max_gpus=8))
    expected = "position 2 in queue 'default', 1 of 1 jobs running, 2 of 8 GPUs in use"
    assert decisions["ns", "b"].message == expected
    assert decisions["ns", "b"].reason == "QueueFull"


def test_a_job_that_is_too_large_for_its_queue_is_told_so() -> None:
    decision = decide("default", [job("a", gpus=16)], QueueLimits(max_gpus=8))["ns", "a"]
    assert decision.reason == "ExceedsQueue"
    assert "16 GPUs" in decision.message
