"""What Prometheus sees of the receiver."""

from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from fettle_client.protocol import ApiError, Manifest, UnavailableError
from tests.support.facade import Facade, running_facade
from tests.support.polling import eventually
from tests.unit.api.progress.test_receiver import make_running_job, post

REPORTS, WRITES = "fettle_receiver_reports_total", "fettle_receiver_writes_total"


@pytest.fixture
async def facade(tmp_path: Path) -> AsyncIterator[Facade]:
    async with running_facade(tmp_path, progress_interval_seconds=0.05) as running:
        await make_running_job(running)
        yield running


async def value(facade: Facade, name: str, outcome: str) -> float:
    async with facade.caller(None) as caller:
        answer = await caller.get("/metrics")
    assert answer.status_code == 200
    [line] = [line for line in answer.text.splitlines() if line.startswith(f'{name}{{outcome="{outcome}"}}')]
    return float(line.split()[-1])


async def has(facade: Facade, name: str, outcome: str, count: float) -> bool:
    return await value(facade, name, outcome) >= count


async def test_every_outcome_is_there_before_anything_happened(facade: Facade) -> None:
    for name, outcomes in ((REPORTS, ("accepted", "refused", "failed")), (WRITES, ("written", "failed"))):
        assert [await value(facade, name, outcome) for outcome in outcomes] == [0.0] * len(outcomes)


async def test_reports_are_counted_by_what_came_of_them(facade: Facade) -> None:
    assert (await post(facade)).status_code == 200
    assert (await post(facade, token="another")).status_code == 401
    assert (await post(facade, body={"attempt": 1})).status_code in (400, 422)
    assert await value(facade, REPORTS, "accepted") == 1
    assert await value(facade, REPORTS, "refused") == 2
    await eventually(partial(has, facade, WRITES, "written", 1), "the progress is written")


async def test_a_write_that_the_api_server_does_not_take_is_counted(
    facade: Facade, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*arguments: Any, **options: Any) -> Manifest:
        raise refusal

    refusal: ApiError = UnavailableError(503, "ServiceUnavailable", "try later")
    monkeypatch.setattr(facade.client, "apply_status", unavailable)
    assert (await post(facade)).status_code == 200
    await eventually(partial(has, facade, WRITES, "failed", 1), "the failure is counted")
    assert await value(facade, WRITES, "written") == 0


async def test_other_requests_are_not_counted(facade: Facade) -> None:
    async with facade.caller(None) as caller:
        await caller.get("/healthz")
        await caller.get("/ainode/api/training/jobs")
    assert await value(facade, REPORTS, "accepted") == 0
