"""What a job costs the API server in writes, from its creation to its Adapter; Events apart."""

from fettle_client.protocol import EVENTS, TRAINING_JOBS
from tests.support.fake_kubelet import NAMESPACE, World, run_result

BEGINNING = [
    ("apply_status", "TrainingJob"),  # admitted: written before anything is created
    ("create", "ConfigMap"),
    ("create", "Job"),
]
ENDING = [
    ("create", "Adapter"),
    ("apply_status", "Adapter"),
    ("apply_status", "TrainingJob"),
]


async def started() -> World:
    """A job of which nobody has seen yet that its pod exists."""
    world = World()
    await world.submit()
    for _ in range(2):
        await world.controller.reconcile_once((NAMESPACE, "demo"))
    world.kubelet()
    return world


async def succeeds(world: World) -> None:
    world.pod_ends(0, run_result())
    await world.settle()
    assert world.phase() == "Succeeded"


def writes(world: World) -> list[tuple[str, str]]:
    """Verb and kind of what the operator wrote; the first write is the user's."""
    made = [(call.verb, call.kind) for call in world.client.calls if call.verb not in ("get", "list")]
    return [write for write in made[1:] if write[1] != EVENTS.kind]


async def test_a_run_that_starts_at_once() -> None:
    world = await started()
    world.pods_run()
    await world.settle()
    await succeeds(world)
    assert writes(world) == [*BEGINNING, ("apply_status", "TrainingJob"), *ENDING]


async def test_a_run_that_waits_for_a_node_first() -> None:
    world = await started()
    await world.settle()
    world.pods_run()
    await world.settle()
    await succeeds(world)
    assert writes(world) == [*BEGINNING, *[("apply_status", "TrainingJob")] * 2, *ENDING]


async def test_a_run_that_is_over_before_the_first_look() -> None:
    """Its pod has ended, its Job not yet: nothing is created a second time."""
    world = await started()
    world.pods_run()
    world.pod_status(phase="Succeeded")
    await world.settle()
    assert [write for write in writes(world) if write[0] == "create"] == [("create", "ConfigMap"), ("create", "Job")]
    assert world.status()["reason"] == "PodsPending"
    await succeeds(world)
    assert writes(world) == [*BEGINNING, ("apply_status", TRAINING_JOBS.kind), *ENDING]
