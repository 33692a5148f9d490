"""Leadership by a Lease."""

import asyncio

from fettle_client.protocol import LEASES, UnavailableError
from fettle_operator.leader import LeaderElector, LeaseTimes
from tests.support.memory_client import MemoryClient

TIMES = LeaseTimes(duration_seconds=0.3, renew_deadline_seconds=0.15, retry_seconds=0.02)


class Clock:
    """Monotonic time in the test's hands."""

    seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def candidate(client: MemoryClient, name: str, clock: Clock) -> LeaderElector:
    return LeaderElector(client, "ns", "lease", name, TIMES, clock)


def holder(client: MemoryClient) -> str:
    lease = client.item(LEASES, "lease", "ns")
    assert lease is not None
    return str(lease["spec"]["holderIdentity"])


async def test_the_first_candidate_leads_and_the_second_waits() -> None:
    client, clock = MemoryClient(), Clock()
    first, second = candidate(client, "a", clock), candidate(client, "b", clock)
    await first.acquire()
    waiting = asyncio.create_task(second.acquire())
    await asyncio.sleep(0.1)
    assert (holder(client), waiting.done(), first.is_leading, second.is_leading) == ("a", False, True, False)
    await first.release()
    await asyncio.wait_for(waiting, 30)
    assert holder(client) == "b"


async def test_a_lease_that_is_not_renewed_is_taken_over_after_its_duration() -> None:
    client, clock = MemoryClient(), Clock()
    await candidate(client, "a", clock).acquire()
    second = asyncio.create_task(candidate(client, "b", clock).acquire())
    await asyncio.sleep(0.1)
    clock.seconds += 0.9
    await asyncio.sleep(0.1)
    assert not second.done()
    clock.seconds += 0.2
    await asyncio.wait_for(second, 30)
    lease = client.item(LEASES, "lease", "ns")
    assert lease is not None
    assert lease["spec"]["leaseTransitions"] == 1


async def test_who_cannot_renew_stops_leading_before_the_lease_ends() -> None:
    client, clock = MemoryClient(), Clock()
    leader = candidate(client, "a", clock)
    await leader.acquire()
    client.fail_next("get", UnavailableError(503, "ServiceUnavailable", "gone"), LEASES, times=1000)
    holding = asyncio.create_task(leader.hold())
    await asyncio.sleep(0.05)
    assert not holding.done()
    clock.seconds += TIMES.renew_deadline_seconds
    await asyncio.wait_for(holding, 30)
    assert not leader.is_leading


async def test_a_leader_that_was_replaced_stops() -> None:
    client, clock = MemoryClient(), Clock()
    leader = candidate(client, "a", clock)
    await leader.acquire()
    lease = client.item(LEASES, "lease", "ns")
    assert lease is not None
    lease["spec"]["holderIdentity"] = "b"
    client.seed(LEASES, lease)
    holding = asyncio.create_task(leader.hold())
    await asyncio.sleep(0.05)
    clock.seconds += TIMES.renew_deadline_seconds
    await asyncio.wait_for(holding, 30)
    assert holder(client) == "b"


async def test_renewing_keeps_the_lease() -> None:
    client, clock = MemoryClient(), Clock()
    leader = candidate(client, "a", clock)
    await leader.acquire()
    holding = asyncio.create_task(leader.hold())
    for _ in range(10):
        clock.seconds += 0.05
        await asyncio.sleep(0.05)
    assert not holding.done()
    holding.cancel()


async def test_of_many_at_once_one_wins() -> None:
    client, clock = MemoryClient(), Clock()
    candidates = [candidate(client, str(number), clock) for number in range(8)]
    tasks = [asyncio.create_task(one.acquire()) for one in candidates]
    await asyncio.sleep(0.2)
    assert sum(one.is_leading for one in candidates) == 1
    for task in tasks:
        task.cancel()
