"""Waiting has an end: deadlines, pods that cannot start, pods that never stop."""

import pytest

from fettle_client.protocol import JOBS, PODS
from tests.support.fake_kubelet import NAMESPACE, World, settings


async def test_a_pod_that_never_stops_is_given_up() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    await world.settle()
    await world.client.delete(PODS, "demo-a1-0", NAMESPACE)
    await world.settle()
    assert world.status()["attempts"]["current"] == 1
    world.advance(121)
    await world.settle()
    assert world.status()["attempts"]["current"] == 2
    assert world.status()["attempts"]["preemptions"] == 1
    assert "demo-a2" in world.names(JOBS)


async def test_the_active_deadline_counts_running_time_only() -> None:
    world = World()
    await world.submit(limits={"activeDeadlineSeconds": 100})
    await world.settle()
    world.advance(1000)
    await world.settle()
    world.pods_run()
    await world.settle()
    world.advance(99)
    await world.settle()
    assert world.phase() == "Running"
    world.advance(2)
    await world.settle()
    world.pods_stop()
    await world.settle()
    assert world.status()["reason"] == "DeadlineExceeded"
    assert world.names(JOBS) == []


async def test_the_pending_deadline_ends_a_job_that_does_not_start() -> None:
    world = World(settings(queues={"default": {"maxRunning": 0}}))
    await world.submit(limits={"pendingDeadlineSeconds": 60})
    await world.settle()
    assert world.phase() == "Queued"
    world.advance(61)
    await world.settle()
    assert world.status()["reason"] == "PendingDeadlineExceeded"
    assert "Queued" in world.status()["message"]


async def test_a_deadline_that_passed_before_anybody_looked_says_no_more_than_that() -> None:
    world = World()
    await world.submit(limits={"pendingDeadlineSeconds": 60})
    world.advance(61)
    await world.settle()
    assert world.status()["message"] == "The job did not start within 60 s; it is Pending"


@pytest.mark.parametrize(
    ("reason", "code"),
    [("ImagePullBackOff", "ImagePullFailed"), ("CreateContainerConfigError", "PodRefused")],
)
async def test_a_pod_that_cannot_start_ends_the_job_after_a_while(reason: str, code: str) -> None:
    world = World()
    await world.submit()
    await world.settle()
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": world.stamp()}
    waiting = {"waiting": {"reason": reason, "message": "it said so"}}
    world.pod_status(conditions=[scheduled], containerStatuses=[{"name": "trainer", "state": waiting}])
    await world.settle()
    assert (world.phase(), world.status()["reason"]) == ("Starting", reason)
    world.advance(301)
    await world.settle()
    world.pods_stop()
    await world.settle()
    assert world.status()["failure"]["code"] == code
    assert "it said so" in world.status()["message"]
    assert world.names(JOBS) == []


async def test_an_unschedulable_pod_shows_the_schedulers_words() -> None:
    world = World()
    await world.submit()
    await world.settle()
    words = "0/3 nodes are available: 3 Insufficient nvidia.com/gpu."
    world.pod_status(
        conditions=[{"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": words}]
    )
    await world.settle()
    status = world.status()
    assert (status["phase"], status["reason"], status["message"]) == ("Starting", "Unschedulable", words)
