from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fettle_api.errors import JobNotFoundError
from fettle_api.jobs.lifecycle import Jobs
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job
from fettle_client.protocol import Manifest
from fettle_schema.vocabulary import Phase
from tests.support.facade import running_facade

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)


def job(name: str, phase: str | None = None, *, cancel: bool = False, **status: Any) -> JobView:
    metadata = {"name": name, "uid": name, "creationTimestamp": "2026-01-01T12:00:00Z"}
    known = {**status, **({"phase": phase} if phase else {})}
    return view_job({"metadata": metadata, "spec": {"baseModel": {"id": "a/b"}, "cancel": cancel}, "status": known})


class Listed:
    """A store that lists these."""

    def __init__(self, *jobs: JobView) -> None:
        self.jobs = list(jobs)

    async def list_jobs(self) -> list[JobView]:
        return self.jobs


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


async def test_the_queue_is_good_for_a_moment() -> None:
    now, first, second = NOW, job("first", "Queued"), job("second", "Queued")
    listed = Listed(job("runs", "Running"), first)
    jobs = Jobs(listed, lambda: now)  # type: ignore[arg-type] # lists only
    assert (await jobs.queue_of(first)).position("first") == 1
    listed.jobs = [second, first]
    assert (await jobs.queue_of(first)).position("first") == 1, "as it was a moment ago"
    assert (await jobs.queue_of(second)).holds("second"), "a job that it does not hold is looked for"
    listed.jobs = [job("runs", "Running"), second, first]
    now = NOW + timedelta(seconds=1)
    assert [(await jobs.queue_of(one)).position(one.name) for one in (first, second)] == [1, 2]


async def test_a_job_that_does_not_wait_needs_no_queue() -> None:
    for one in (job("runs", "Running"), job("ended", "Failed"), job("stops", "Queued", cancel=True)):
        queue = await jobs_of(job("waits", "Queued")).queue_of(one)
        assert (queue.running, queue.waiting) == ((), ())


async def test_nothing_to_count() -> None:
    counts = await jobs_of().count()
    assert (counts.total, counts.by_phase, counts.running, counts.gpu_seconds) == (0, {}, None, 0)


async def test_a_deleted_job_is_stopped_first_and_gone_at_once(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        store = facade.app.state.store
        jobs = Jobs(store, lambda: NOW)
        for name, phase in (("runs", "Running"), ("ended", "Succeeded")):
            await store.create_job(manifest(name))
            await facade.set_status(name, phase=phase)
            deleted = await jobs.delete(name)
            assert deleted.spec.cancel is (phase == "Running")
            assert store.cached_job(name) is None
            with pytest.raises(JobNotFoundError):
                await jobs.delete(name)


def manifest(name: str) -> Manifest:
    spec = {"baseModel": {"id": "a/b"}, "dataset": {"source": {"huggingFace": {"id": "c/d"}}}}
    metadata = {"name": name, "namespace": "default"}
    return {"apiVersion": "fettle.dev/v1alpha1", "kind": "TrainingJob", "metadata": metadata, "spec": spec}
