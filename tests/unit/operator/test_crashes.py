"""The operator dies after its k-th write, for every k: what follows is always one Job per attempt, one Adapter, and the
right verdict.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from fettle_client.protocol import ADAPTERS, CONFIG_MAPS, JOBS, TRAINING_JOBS, UnavailableError
from tests.support.crashing_client import Crash, CrashingClient
from tests.support.fake_kubelet import NAMESPACE, World, run_result, settings

MAX_WRITES = 80


def crashing_world(write: int, dies_before: bool, **options: Any) -> tuple[World, CrashingClient]:
    world = World(settings(retry_backoff_seconds=0, **options), client_class=CrashingClient)
    client = world.client
    assert isinstance(client, CrashingClient)
    client.dies_at, client.dies_before = write, dies_before
    return world, client


async def survive(world: World) -> None:
    """Passes until all is at rest, with a new operator after each crash."""
    for _ in range(3):
        try:
            return await world.settle()
        except Crash:
            world.new_controller()
    raise AssertionError("it crashes again and again")


async def at_each_write(
    story: Callable[[World], Awaitable[None]], dies_before: bool, first: int, **options: Any
) -> None:
    """Play a story once for each write of the operator in it; the first `first - 1` writes are the user's."""
    for write in range(first, MAX_WRITES):
        world, client = crashing_world(write, dies_before, **options)
        await story(world)
        if client.writes < write:
            assert write > first + 10, "the story has no writes to die at"
            return
    raise AssertionError("the story has more writes than are tried")


@pytest.mark.parametrize("dies_before", [False, True])
async def test_a_failure_a_retry_and_a_success_survive_a_crash(dies_before: bool) -> None:
    await at_each_write(fails_then_succeeds, dies_before, first=2)


async def fails_then_succeeds(world: World) -> None:
    await world.submit()
    await survive(world)
    world.pods_run()
    await survive(world)
    world.advance(30)
    world.pod_ends(75, run_result(75, step=10))
    await survive(world)
    world.pods_run(2)
    await survive(world)
    world.advance(60)
    world.pod_ends(0, run_result(), attempt=2)
    await survive(world)
    status = world.status()
    assert (status["phase"], status["adapter"]) == ("Succeeded", "demo")
    assert (status["attempts"]["current"], status["attempts"]["failures"]) == (2, 1)
    assert status["attempts"]["preemptions"] == 0
    assert status["activeSeconds"] == 90
    assert world.names(JOBS) == world.names(CONFIG_MAPS) == ["demo-a1", "demo-a2"]
    assert world.names(ADAPTERS) == ["demo"]
    adapter = world.adapter()
    assert adapter is not None
    assert adapter["status"]["phase"] == "Available"
    assert len(adapter["status"]["history"]) == 1


@pytest.mark.parametrize("dies_before", [False, True])
async def test_a_suspension_and_a_cancellation_survive_a_crash(dies_before: bool) -> None:
    await at_each_write(is_suspended_then_cancelled, dies_before, first=2)


async def is_suspended_then_cancelled(world: World) -> None:
    await world.submit()
    await survive(world)
    world.pods_run()
    await survive(world)
    await world.edit(suspend=True)
    await survive(world)
    world.pods_stop()
    await survive(world)
    assert world.phase() == "Suspended"
    await world.edit(suspend=False)
    await survive(world)
    assert world.names(JOBS) == ["demo-a2"]
    await world.edit(cancel=True)
    await survive(world)
    world.pods_stop()
    await survive(world)
    assert (world.phase(), world.names(JOBS)) == ("Cancelled", [])
    assert world.status()["attempts"]["preemptions"] == 0


@pytest.mark.parametrize("dies_before", [False, True])
async def test_a_suspension_before_anybody_noted_the_run_survives_a_crash(dies_before: bool) -> None:
    await at_each_write(is_suspended_at_once, dies_before, first=2)


async def is_suspended_at_once(world: World) -> None:
    await world.submit()
    while "demo-a1" not in world.names(JOBS):
        try:
            await world.controller.reconcile_once((NAMESPACE, "demo"))
        except Crash:
            world.new_controller()
    await world.edit(suspend=True)
    await survive(world)
    world.pods_stop()
    await survive(world)
    assert (world.phase(), world.names(JOBS)) == ("Suspended", [])
    await world.edit(suspend=False)
    await survive(world)
    world.pods_run(2)
    await survive(world)
    world.pod_ends(0, run_result(), attempt=2)
    await survive(world)
    assert world.phase() == "Succeeded"
    made = [c.after["metadata"]["name"] for c in world.client.history if c.kind == JOBS and c.type == "ADDED"]
    assert made == ["demo-a1", "demo-a2"]


@pytest.mark.parametrize("dies_before", [False, True])
async def test_a_queue_never_runs_more_than_it_may_after_a_crash(dies_before: bool) -> None:
    await at_each_write(three_share_one_place, dies_before, first=4, queues={"default": {"maxRunning": 1}})


async def three_share_one_place(world: World) -> None:
    for name in ("a", "b", "c"):
        await world.submit(name)
    await survive(world)
    assert world.names(JOBS) == ["a-a1"]
    for name, following in (("a", "b"), ("b", "c")):
        world.pod_ends(71, job=name)
        await survive(world)
        assert world.phase(name) == "Failed"
        assert world.phase(following) == "Starting"


async def test_a_run_that_a_slower_leader_starts_in_a_suspended_job_is_stopped() -> None:
    world = World()
    await world.submit()
    await world.settle()
    late = world.client.item(JOBS, "demo-a1", NAMESPACE)
    assert late is not None
    await world.edit(suspend=True)
    await world.settle()
    world.pods_stop()
    await world.settle()
    assert (world.phase(), world.names(JOBS)) == ("Suspended", [])
    await world.client.create(JOBS, late)
    await world.settle()
    world.pods_stop()
    await world.settle()
    assert (world.phase(), world.names(JOBS)) == ("Suspended", [])


async def test_a_run_that_was_not_written_down_before_a_suspension_is_not_created_again() -> None:
    world = World()
    await world.submit()
    await world.settle()
    status = world.status()
    next(c for c in status["conditions"] if c["type"] == "PodsReady")["reason"] = "NotCreated"
    world.client.set_status(TRAINING_JOBS, "demo", status, NAMESPACE)
    await world.edit(suspend=True)
    await world.settle()
    world.pods_stop()
    await world.settle()
    assert (world.phase(), world.names(JOBS)) == ("Suspended", [])
    await world.edit(suspend=False)
    await world.settle()
    assert world.names(JOBS) == ["demo-a2"]


async def test_a_preflight_that_was_not_written_down_is_stopped_before_its_job_is_suspended() -> None:
    world = World()
    await world.submit(preflight="always")
    world.client.fail_next("apply_status", UnavailableError(503, "ServiceUnavailable", "try later"), TRAINING_JOBS)
    with pytest.raises(UnavailableError):
        await world.controller.reconcile_once((NAMESPACE, "demo"))
    assert (world.status(), world.names(JOBS)) == ({}, ["demo-a0"])
    world.kubelet()
    await world.edit(suspend=True)
    await world.settle()
    assert world.phase() == "Pending"
    world.pods_stop()
    await world.settle()
    assert (world.phase(), world.names(JOBS)) == ("Suspended", [])
