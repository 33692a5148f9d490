"""What a pass reads: nothing that its job cannot depend on. A thousand jobs pay for each read a thousand times."""

from fettle_client.protocol import JOBS, TRAINING_JOBS
from tests.support.fake_kubelet import NAMESPACE, World, run_result


async def reads(world: World) -> list[tuple[str, str]]:
    """Verb and kind of the reads of one pass."""
    before = len(world.client.calls)
    await world.controller.reconcile_once((NAMESPACE, "demo"))
    return [(call.verb, call.kind) for call in world.client.calls[before:] if call.verb in ("get", "list")]


async def test_a_new_job_has_no_runs_to_look_for() -> None:
    world = World()
    await world.submit()
    assert await reads(world) == [("get", "TrainingJob"), ("get", "Adapter"), ("get", "PersistentVolumeClaim")]


async def test_an_attempt_that_was_never_created_is_looked_for_by_its_names() -> None:
    world = World()
    await world.submit()
    await reads(world)
    names = [("get", "Job"), ("get", "ConfigMap")]
    assert await reads(world) == [("get", "TrainingJob"), *names]  # the claim was seen a moment ago
    assert world.names(JOBS) == ["demo-a1"]


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
    status = world.status()
    del status["resolved"]
    world.client.set_status(TRAINING_JOBS, "demo", status, NAMESPACE)
    assert ("get", "Adapter") in await reads(world)
    assert world.status()["resolved"]["configDigest"]
