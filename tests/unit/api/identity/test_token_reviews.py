"""When the token of a pod is reviewed, and when again."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fettle_api.errors import ForbiddenError
from fettle_api.identity.token_reviews import PodTokens
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job
from fettle_client.protocol import PODS, TRAINING_JOBS, UnavailableError
from tests.support.facade import Facade, running_facade
from tests.support.fake_kubelet import training_job

TOKEN = "the-token-of-the-pod"


class Gate:
    """A clock, a job that runs, and who checks the token of its pod."""

    def __init__(self, facade: Facade, job: JobView) -> None:
        self.now, self.facade, self.job = 0.0, facade, job
        self.tokens = PodTokens(facade.client, "default", lambda: self.now)

    async def check(self) -> None:
        await self.tokens.check(TOKEN, self.job, 1)

    async def others_work(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    @property
    def reviews(self) -> int:
        return sum(call.kind == "TokenReview" for call in self.facade.client.calls)


@pytest.fixture
async def gate(tmp_path: Path) -> AsyncIterator[Gate]:
    async with running_facade(tmp_path) as facade:
        created = await facade.client.create(TRAINING_JOBS, training_job())
        facade.add_pod("demo-a1-x", created["metadata"]["uid"], TOKEN)
        yield Gate(facade, view_job(created))


async def test_a_token_is_reviewed_once_while_that_is_fresh(gate: Gate) -> None:
    for gate.now in (0.0, 1.0, 24.0):
        await gate.check()
    assert gate.reviews == 1


async def test_a_token_in_use_is_reviewed_again_beside_its_reports(gate: Gate) -> None:
    await gate.check()
    gate.now = 51.0
    await gate.check()
    await gate.check()
    assert gate.reviews == 1  # nobody has waited for the second
    await gate.others_work()
    assert gate.reviews == 2
    gate.now = 70.0
    await gate.check()
    assert gate.reviews == 2


async def test_a_pod_that_is_gone_is_refused_from_the_next_review_on(gate: Gate) -> None:
    await gate.check()
    await gate.facade.client.delete(PODS, "demo-a1-x", "default")
    gate.now = 51.0
    await gate.check()
    await gate.others_work()
    with pytest.raises(ForbiddenError, match="does not exist"):
        await gate.check()


async def test_a_review_that_fails_beside_the_reports_leaves_the_old_one_until_its_end(gate: Gate) -> None:
    await gate.check()
    gate.facade.client.fail_next("create", UnavailableError(503, "ServiceUnavailable", "later"), times=1)
    gate.now = 51.0
    await gate.check()
    await gate.others_work()
    await gate.check()
    await gate.others_work()
    assert gate.reviews == 3
    gate.now = 52.0
    await gate.check()
