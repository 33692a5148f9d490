import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fettle_api.jobs.claims import ClaimedError, Claims
from fettle_client.protocol import LEASES, TRAINING_JOBS, ConflictError, UnavailableError
from fettle_local.store import LocalClient
from tests.support.memory_client import MemoryClient

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def claims_of(client: Any, now: datetime = NOW) -> Claims:
    return Claims(client, "default", lambda: now)


def known(**jobs: bool) -> Callable[[str], Awaitable[bool | None]]:
    async def is_in_the_way(name: str) -> bool | None:
        return jobs.get(name)

    return is_in_the_way


@pytest.mark.parametrize("store", ["memory", "local"])
async def test_of_many_at_once_one_has_the_claim(tmp_path: Path, store: str) -> None:
    clients: list[Any] = [MemoryClient()]
    if store == "local":
        clients = [LocalClient(tmp_path / "store.db") for _ in range(2)]

    async def take(number: int) -> bool:
        client = clients[number % len(clients)]
        try:
            await claims_of(client).take("fettle-submit-x", f"job-{number}", known())
        except ClaimedError:
            return False
        return True

    assert sum(await asyncio.gather(*map(take, range(10)))) == 1
    for client in clients:
        await client.close()


async def test_who_has_the_claim_is_told() -> None:
    client = MemoryClient()
    await claims_of(client).take("c", "first", known())
    with pytest.raises(ClaimedError, match="first"):
        await claims_of(client).take("c", "second", known(first=True))


async def test_a_claim_whose_job_has_ended_is_free() -> None:
    client = MemoryClient()
    await claims_of(client).take("c", "first", known())
    await claims_of(client).take("c", "second", known(first=False))
    (lease,) = client.items(LEASES)
    assert lease["spec"]["holderIdentity"] == "second"


async def test_a_claim_whose_job_never_came_lapses() -> None:
    client = MemoryClient()
    await claims_of(client).take("c", "first", known())
    with pytest.raises(ClaimedError):
        await claims_of(client, NOW + timedelta(seconds=14)).take("c", "second", known())
    await claims_of(client, NOW + timedelta(seconds=16)).take("c", "second", known())


async def test_a_claim_whose_job_came_and_was_deleted_is_free_at_once() -> None:
    client = MemoryClient()
    claim = await claims_of(client).take("c", "first", known())
    assert await claims_of(client).confirm(claim)
    await claims_of(client).take("c", "second", known())


async def test_who_was_too_slow_learns_it() -> None:
    client = MemoryClient()
    slow = await claims_of(client).take("c", "first", known())
    quick = await claims_of(client, NOW + timedelta(minutes=1)).take("c", "second", known())
    assert await claims_of(client).confirm(quick)
    assert not await claims_of(client).confirm(slow)


async def test_the_same_job_may_be_claimed_twice() -> None:
    client = MemoryClient()
    first = await claims_of(client).take("c", "job", known())
    second = await claims_of(client).take("c", "job", known(job=True))
    assert await claims_of(client).confirm(first)
    assert await claims_of(client).confirm(second)


async def test_a_claim_that_was_given_back_is_free() -> None:
    client = MemoryClient()
    claim = await claims_of(client).take("c", "first", known())
    client.fail_next("replace", UnavailableError(503, "x", "x"), LEASES)
    await claims_of(client).give_back(claim)
    await claims_of(client).give_back(claim)
    await claims_of(client).take("c", "second", known())


async def test_a_claim_that_changes_all_the_time_is_somebody_elses() -> None:
    client = MemoryClient()
    await claims_of(client).take("c", "first", known())
    client.fail_next("replace", ConflictError(409, "Conflict", "x"), LEASES, times=100)
    with pytest.raises(ClaimedError):
        await claims_of(client).take("c", "second", known(first=False))


async def test_a_lease_that_somebody_broke_is_free() -> None:
    client = MemoryClient()
    client.seed(
        LEASES, {"metadata": {"name": "c", "namespace": "default"}, "spec": {"holderIdentity": "x", "acquireTime": "?"}}
    )
    await claims_of(client).take("c", "second", known())
    assert client.items(TRAINING_JOBS) == []
