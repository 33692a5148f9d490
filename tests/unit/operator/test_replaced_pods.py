"""Pods that are taken away, and those that come instead."""

from fettle_client.protocol import JOBS
from tests.support.fake_kubelet import NAMESPACE, World


async def test_the_gap_before_an_evicted_pod_is_replaced_ends_no_run_however_old_it_is() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    await world.settle()
    world.advance(3600)
    await world.pods_vanish()
    for seconds in (0, 10, 290):
        world.advance(seconds)
        await world.controller.reconcile_once((NAMESPACE, "demo"))
        assert (world.phase(), world.status()["reason"]) == ("Starting", "Preempted")
    world.kubelet()
    world.pods_run()
    await world.settle()
    assert world.phase() == "Running"


async def test_a_pod_that_is_never_replaced_ends_the_run() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    await world.settle()
    world.advance(3600)
    await world.pods_vanish()
    await world.controller.reconcile_once((NAMESPACE, "demo"))
    world.advance(301)
    await world.controller.reconcile_once((NAMESPACE, "demo"))
    assert world.status()["failure"]["code"] == "PodRefused"


async def test_a_job_that_kueue_lets_go_after_long_waits_for_its_pod() -> None:
    world = World()
    await world.submit(scheduling={"kueueQueue": "team"})
    await world.settle()
    held = [{"type": "Suspended", "status": "True", "message": "Job suspended"}]
    world.client.set_status(JOBS, "demo-a1", {"conditions": held}, NAMESPACE)
    await world.settle()
    assert (world.phase(), world.status()["reason"]) == ("Queued", "WaitingForKueue")
    world.advance(3600)
    await world.client.patch(JOBS, "demo-a1", NAMESPACE, {"spec": {"suspend": False}})
    await world.controller.reconcile_once((NAMESPACE, "demo"))
    assert (world.phase(), world.status()["reason"]) == ("Starting", "PodsPending")
    resumed = {"conditions": [{"type": "Suspended", "status": "False"}], "startTime": world.stamp()}
    world.client.set_status(JOBS, "demo-a1", resumed, NAMESPACE)
    await world.controller.reconcile_once((NAMESPACE, "demo"))
    assert (world.phase(), world.status()["reason"]) == ("Starting", "PodsPending")


async def test_a_replaced_pod_is_counted_once_and_the_attempt_goes_on() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    await world.settle()
    world.pod_status(phase="Failed", conditions=[{"type": "DisruptionTarget", "status": "True"}])
    for _ in range(3):
        await world.settle()
    attempts = world.status()["attempts"]
    assert (attempts["current"], attempts["preemptions"], len(attempts["countedPods"])) == (1, 1, 1)
    assert world.phase() == "Starting"
