from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from fettle_api.jobs import Jobs
from fettle_api.models import JobView
from fettle_api.views import view_job
from fettle_schema.vocabulary import Phase

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def job(name: str, phase: str | None = None, *, cancel: bool = False, **status: Any) -> JobView:
    metadata = {"name": name, "uid": name, "creationTimestamp": "2026-01-01T12:00:00Z"}
    known = {**status, **({"phase": phase} if phase else {})}
    return view_job({"metadata": metadata, "spec": {"baseModel": {"id": "a/b"}, "cancel": cancel}, "status": known})


class Listed:
    """A store that lists these."""

    def __init__(self, *jobs: JobView) -> None:
        self._jobs = list(jobs)

    async def list_jobs(self) -> list[JobView]:
        return self._jobs


def jobs_of(*jobs: JobView, clock: Callable[[], datetime] = lambda: NOW) -> Jobs:
    return Jobs(Listed(*jobs), clock)  # type: ignore[arg-type] # counts only


async def test_jobs_are_counted() -> None:
    counts = await jobs_of(
        job("new"),
        job("waits", "Queued"),
        job("second", "Running", startTime="2026-01-02T11:00:00Z", gpuSeconds={"total": 10}),
        job("first", "Running", startTime="2026-01-02T10:00:00Z", gpuSeconds={"total": 20.5}),
        job("stops", "Running", cancel=True, startTime="2026-01-02T09:00:00Z"),
        job("today", "Succeeded", completionTime="2026-01-01T12:00:00Z"),
        job("yesterday", "Succeeded", completionTime="2026-01-01T11:59:59Z"),
        job("broke", "Failed"),
        job("gone", "Cancelled", cancel=True),
    ).count()
    assert counts.total == 9
    assert counts.by_phase == {
        Phase.PENDING: 1,
        Phase.QUEUED: 1,
        Phase.RUNNING: 2,
        Phase.SUCCEEDED: 2,
        Phase.FAILED: 1,
        Phase.CANCELLED: 2,
    }
    assert counts.succeeded_lately == 1
    assert counts.gpu_seconds == 30.5
    assert counts.running is not None
    assert counts.running.name == "first"


async def test_nothing_to_count() -> None:
    counts = await jobs_of().count()
    assert (counts.total, counts.by_phase, counts.running, counts.gpu_seconds) == (0, {}, None, 0)
