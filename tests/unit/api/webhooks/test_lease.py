import asyncio
from contextlib import suppress
from typing import Any

import pytest

from fettle_api.webhooks.lease import LEASE_NAME, SenderLease
from fettle_client.protocol import LEASES, ApiError, ConflictError, UnavailableError
from tests.support.memory_client import MemoryClient


class Clock:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class AnswersLate(MemoryClient):
    """Does what is asked, and does not say so while `is_late`."""

    is_late = True

    async def create(self, *arguments: Any, **options: Any) -> Any:
        created = await super().create(*arguments, **options)
        await self._wait()
        return created

    async def replace(self, *arguments: Any, **options: Any) -> Any:
        await self._wait()
        return await super().replace(*arguments, **options)

    async def _wait(self) -> None:
        if self.is_late:
            await asyncio.Event().wait()


async def stopped_in_the_middle(work: Any) -> None:
    task = asyncio.ensure_future(work)
    for _ in range(10):
        await asyncio.sleep(0)
    assert not task.done()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


def lease_of(client: Any, identity: str, clock: Clock | None = None) -> SenderLease:
    return SenderLease(client, "default", identity, 30, clock or Clock())


async def test_one_holds_it_and_renews() -> None:
    client = MemoryClient()
    one, two = lease_of(client, "one"), lease_of(client, "two")
    assert await one.hold()
    assert not await two.hold()
    assert await one.hold()
    (lease,) = client.items(LEASES)
    assert (lease["metadata"]["name"], lease["spec"]["holderIdentity"]) == (LEASE_NAME, "one")


async def test_a_lease_that_does_not_change_for_its_time_is_free() -> None:
    client, clock = MemoryClient(), Clock()
    await lease_of(client, "one").hold()
    two = lease_of(client, "two", clock)
    assert not await two.hold()
    clock.seconds += 29
    assert not await two.hold()
    clock.seconds += 1
    assert await two.hold()


async def test_a_lease_that_is_renewed_is_not_free() -> None:
    client, clock = MemoryClient(), Clock()
    one, two = lease_of(client, "one"), lease_of(client, "two", clock)
    for _ in range(5):
        assert await one.hold()
        assert not await two.hold()
        clock.seconds += 20


async def test_a_lease_that_was_released_is_free_at_once() -> None:
    client = MemoryClient()
    one, two = lease_of(client, "one"), lease_of(client, "two")
    await one.hold()
    await two.release()
    await one.release()
    assert await two.hold()
    await one.release()
    assert await two.hold()


async def test_who_is_stopped_while_taking_it_still_lets_go() -> None:
    client = AnswersLate()
    one, two = lease_of(client, "one"), lease_of(client, "two")
    await stopped_in_the_middle(one.hold())
    client.is_late = False
    assert not await two.hold()
    await one.release()
    assert await two.hold()


async def test_who_is_stopped_while_letting_go_does_it_again() -> None:
    client = AnswersLate()
    client.is_late = False
    one, two = lease_of(client, "one"), lease_of(client, "two")
    await one.hold()
    client.is_late = True
    await stopped_in_the_middle(one.release())
    client.is_late = False
    await one.release()
    assert await two.hold()


@pytest.mark.parametrize(
    "error", [ConflictError(409, "Conflict", "x"), UnavailableError(503, "x", "x"), ApiError(403, "Forbidden", "x")]
)
async def test_who_cannot_renew_does_not_send(error: ApiError) -> None:
    client = MemoryClient()
    lease = lease_of(client, "one")
    await lease.hold()
    client.fail_next("replace", error, LEASES)
    assert not await lease.hold()
    assert await lease.hold()
    client.fail_next("get", error, LEASES)
    await lease.release()
