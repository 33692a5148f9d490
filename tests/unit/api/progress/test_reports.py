"""How reports of many jobs become writes."""

import asyncio
from typing import cast

from fettle_api.progress.reports import Reports
from fettle_api.resources.models import JobView
from fettle_api.resources.store import Store
from fettle_api.resources.views import view_job
from fettle_schema.run import ProgressEvent
from tests.support.fake_kubelet import training_job

STEP = ProgressEvent.model_validate(
    {"time": "2026-01-01T12:00:00Z", "attempt": 1, "kind": "step", "stage": "training", "step": 1, "totalSteps": 10}
)


class Written:
    """A store that takes writes."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def count_jobs(self, wanted: object) -> int:
        return 0

    async def write_progress(self, job: JobView, *_: object) -> None:
        self.names.append(job.name)


async def test_first_steps_of_many_jobs_at_once_share_the_writes() -> None:
    written = Written()
    reports = Reports(cast(Store, written), 10.0, monotonic=lambda: 0.0)
    for number in range(60):
        reports.add(_job(f"job-{number}"), STEP)
    for _ in range(20):
        await asyncio.sleep(0)
    assert len(written.names) == 50
    await reports.stop()
    assert len(set(written.names)) == 60


def _job(name: str) -> JobView:
    manifest = training_job(name)
    manifest["metadata"] |= {"uid": f"uid-{name}", "creationTimestamp": "2026-01-01T12:00:00Z", "resourceVersion": "1"}
    return view_job(manifest)
