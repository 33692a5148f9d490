"""Of several conditional submits at once, through several connections to a real API server, one wins."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fettle_api.errors import JobRunningError
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.claims import Claims
from fettle_api.jobs.submissions import Submissions
from fettle_api.resources.models import JobRequest
from fettle_api.resources.store import Store
from fettle_api.settings import ApiSettings
from fettle_client.kubernetes import KubernetesClient, connect
from fettle_client.protocol import LEASES, TRAINING_JOBS


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def facades(cluster: Path, namespace: str, tmp_path: Path) -> AsyncIterator[list[Submissions]]:
    async with AsyncExitStack() as stack:
        made = []
        for _ in range(3):
            client = await connect(str(cluster))
            stack.push_async_callback(client.close)
            store = Store(client, namespace)
            store.start()
            stack.push_async_callback(store.stop)
            settings = ApiSettings(namespace=namespace, workspace=tmp_path, default_gpus=0)
            claims = Claims(client, namespace, now)
            made.append(Submissions(settings, store, Workspace(tmp_path), lambda _: None, claims, now))
        yield made


def request(name: str, request_digest: str | None = None) -> JobRequest:
    return JobRequest(name, "cluster", name, "a/b", "c/d", {}, {}, request_digest=request_digest)


async def submit(facade: Submissions, name: str) -> bool:
    try:
        await facade.submit_unless_running(request(name))
    except JobRunningError:
        return False
    return True


async def test_one_of_many_wins_and_then_the_next(
    facades: list[Submissions], client: KubernetesClient, namespace: str
) -> None:
    assert sum(await asyncio.gather(*(submit(facades[n % 3], f"job-{n}") for n in range(9)))) == 1
    (job,) = (await client.list(TRAINING_JOBS, namespace)).items
    (lease,) = (await client.list(LEASES, namespace)).items
    assert lease["spec"]["holderIdentity"] == job["metadata"]["name"]
    assert not await submit(facades[0], "later")
    status = {"phase": "Succeeded"}
    await client.apply_status(TRAINING_JOBS, job["metadata"]["name"], namespace, status, "fettle-operator")
    assert sum(await asyncio.gather(*(submit(facades[n % 3], f"next-{n}") for n in range(9)))) == 1


async def test_one_key_is_one_job(facades: list[Submissions], client: KubernetesClient, namespace: str) -> None:
    jobs = await asyncio.gather(*(facade.submit(request("keyed", "digest")) for facade in facades * 3))
    (job,) = (await client.list(TRAINING_JOBS, namespace)).items
    assert {one.uid for one in jobs} == {job["metadata"]["uid"]}
