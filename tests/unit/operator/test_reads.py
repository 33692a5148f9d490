"""What a pass reads: nothing that its job cannot depend on. A thousand jobs pay for each read a thousand times."""

import pytest

from fettle_client.protocol import ADAPTERS, JOBS, TRAINING_JOBS, ConflictError
from tests.support.fake_kubelet import NAMESPACE, World, run_result

HELD = {"baseModel": {"id": "org/base"}, "source": {"trainingJob": "another"}}


async def reads(world: World) -> list[tuple[str, str]]:
    """Verb and kind of the reads of one pass."""
    before = len(world.client.calls)
    await world.controller.reconcile_once((NAMESPACE, "demo"))
    return [(call.verb, call.kind) for call in world.client.calls[before:] if call.verb in ("get", "list")]


async def test_a_job_that_is_new_to_everybody_is_started_as_it_was_seen() -> None:
    world = World()
    await world.submit()
    assert await reads(world) == [("get", "PersistentVolumeClaim")]
    assert await reads(world) == []  # the claim was seen a moment ago
    assert world.names(JOBS) == ["demo-a1"]


async def test_a_job_whose_first_pass_failed_is_read_again() -> None:
    world = World()
    await world.submit()
    world.client.fail_next("apply_status", ConflictError(409, "Conflict", "modified"), TRAINING_JOBS)
    with pytest.raises(ConflictError):
        await reads(world)
    assert await reads(world) == [("get", "TrainingJob")]


async def test_an_adapter_that_was_heard_of_is_looked_at_before_a_job_takes_its_name() -> None:
    world = World()
    world.client.seed(ADAPTERS, {"metadata": {"name": "demo", "namespace": NAMESPACE}, "spec": HELD})
    await world.submit()
    assert ("get", "Adapter") not in await reads(world)
    world = World()
    world.client.seed(ADAPTERS, {"metadata": {"name": "demo", "namespace": NAMESPACE}, "spec": HELD})
    await world.submit()
    world.controller.observe_event("ADDED", world.client.items(ADAPTERS)[0])
    assert ("get", "Adapter") in await reads(world)


async def test_a_job_that_is_suspended_before_it_begins_is_looked_at_whole() -> None:
    world = World()
    await world.submit()
    await reads(world)
    await world.edit(suspend=True)
    assert {("list", "Job"), ("list", "Pod")} <= set(await reads(world))
    assert (world.phase(), world.names(JOBS)) == ("Suspended", [])


async def test_a_job_that_has_begun_is_read_before_anything_else_is_made_for_it() -> None:
    world = World()
    await world.submit()
    await reads(world)
    admitted = world.client.item(TRAINING_JOBS, "demo", NAMESPACE)
    assert admitted is not None
    await reads(world)
    world.controller.observe_event("MODIFIED", admitted)  # the watch repeats what we wrote
    await world.client.delete(TRAINING_JOBS, "demo", NAMESPACE)
    assert await reads(world) == [("get", "TrainingJob")]
    assert world.names(JOBS) == []


async def test_a_claim_that_was_seen_is_looked_for_again_after_a_while() -> None:
    world = World()
    await world.submit()
    assert ("get", "PersistentVolumeClaim") in await reads(world)
    world.advance(world.settings.source_check_seconds)
    assert ("get", "PersistentVolumeClaim") in await reads(world)


async def test_a_run_that_was_created_before_a_crash_is_found_and_followed() -> None:
    world = World()
    await world.submit()
    await world.settle()
    created = world.client.item(JOBS, "demo-a1", NAMESPACE)
    assert created is not None
    status = world.status()
    for condition in status["conditions"]:
        if condition["type"] == "PodsReady":
            condition["reason"] = "NotCreated"
    world.client.set_status(TRAINING_JOBS, "demo", status, NAMESPACE)
    world.new_controller()
    assert ("list", "Job") not in await reads(world)  # it is created, or found to exist
    assert ("list", "Job") in await reads(world)
    await world.settle()
    found = world.client.item(JOBS, "demo-a1", NAMESPACE)
    assert found is not None
    assert found["metadata"]["uid"] == created["metadata"]["uid"]


async def test_a_run_under_way_depends_on_its_pods_only() -> None:
    world = World()
    await world.submit()
    await world.settle()
    bare = [("get", "TrainingJob"), ("list", "Job"), ("list", "Pod")]
    assert await reads(world) == bare
    world.pods_run()
    await world.settle()
    assert await reads(world) == bare


async def test_a_run_that_ends_is_looked_at_with_all_that_its_end_depends_on() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    await world.settle()
    world.pod_ends(0, run_result())
    assert ("get", "Adapter") in await reads(world)
    assert world.phase() == "Succeeded"


async def test_a_run_whose_start_was_not_written_down_is_no_run_under_way() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.advance(world.settings.source_check_seconds)
    status = world.status()
    del status["resolved"]
    world.client.set_status(TRAINING_JOBS, "demo", status, NAMESPACE)
    assert ("get", "PersistentVolumeClaim") in await reads(world)
    assert world.status()["resolved"]["configDigest"]
