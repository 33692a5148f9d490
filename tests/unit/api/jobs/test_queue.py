from typing import Any

import pytest

from fettle_api.jobs.queue import job_queue
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job

CONDITION = {"type": "Accepted", "status": "True", "reason": "Valid", "lastTransitionTime": "2026-01-01T12:00:00Z"}


def job(name: str, phase: str | None = None, second: int = 0, priority: str = "normal", **spec: Any) -> JobView:
    status: dict[str, Any] = {"phase": phase, "conditions": [CONDITION]} if phase else {}
    metadata = {"name": name, "uid": name, "creationTimestamp": f"2026-01-01T12:00:{second:02}Z"}
    scheduling = {"priority": priority}
    return view_job(
        {"metadata": metadata, "spec": {"baseModel": {"id": "a/b"}, "scheduling": scheduling, **spec}, "status": status}
    )


@pytest.mark.parametrize(
    ("jobs", "running", "waiting"),
    [
        ([], [], []),
        ([job("a", second=2), job("b", second=1)], ["b"], ["a"]),
        ([job("a", "Pending", 1), job("b", "Queued", 2)], [], ["a", "b"]),
        ([job("a", "Running"), job("b", second=1), job("c", second=2)], ["a"], ["b", "c"]),
        ([job("a", "Starting"), job("b", second=1), job("c", second=2, priority="high")], ["a"], ["c", "b"]),
        ([job("a", "Running"), job("b", "Queued", 1, "low"), job("c", "Queued", 2)], ["a"], ["c", "b"]),
        ([job("a", "Succeeded"), job("b", "Failed"), job("c", "Cancelled"), job("d", "Suspended")], [], []),
        ([job("a", "Running", cancel=True), job("b", "Queued", cancel=True), job("c", "Queued")], [], ["c"]),
    ],
)
def test_what_runs_and_what_waits(jobs: list[JobView], running: list[str], waiting: list[str]) -> None:
    queue = job_queue(jobs)
    assert [one.name for one in queue.running] == running
    assert [one.name for one in queue.waiting] == waiting


def test_places_are_counted_from_one() -> None:
    queue = job_queue([job("a", "Running"), job("b", second=1), job("c", second=2)])
    assert [queue.position(name) for name in "abcx"] == [None, 1, 2, None]
