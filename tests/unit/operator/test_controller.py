"""The loop around reconcile: what wakes it, what it survives, how it stops."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from fettle_client.protocol import (
    EVENTS,
    JOBS,
    TRAINING_JOBS,
    ApiError,
    ConflictError,
    InvalidError,
    ResourceKind,
    ResourceList,
    UnavailableError,
)
from fettle_operator.controller import Controller
from tests.support.fake_kubelet import NAMESPACE, World, run_result, settings, training_job
from tests.support.memory_client import MemoryClient
from tests.support.polling import eventually


@asynccontextmanager
async def at_work(world: World, **changes: Any) -> AsyncIterator[Controller]:
    """A controller with its workers, fed by nothing but its own lists."""
    controller = Controller(
        world.client, world.settings.model_copy(update={"resync_seconds": 0.05, **changes}), lambda: world.now
    )
    task = asyncio.create_task(controller.run())
    try:
        yield controller
    finally:
        controller.stop()
        await asyncio.wait_for(task, 30)


async def until(condition: Callable[[], bool], what: str) -> None:
    async def check() -> bool:
        return condition()

    await eventually(check, what, every_seconds=0.01)


async def test_lists_alone_are_enough() -> None:
    world = World()
    async with at_work(world):
        await world.client.create(TRAINING_JOBS, training_job("demo"))
        await until(lambda: world.names(JOBS) == ["demo-a1"], "the Job exists")
        world.kubelet()
        world.pods_run()
        await until(lambda: world.phase() == "Running", "it runs")
        world.pod_ends(0, run_result())
        await until(lambda: world.phase() == "Succeeded", "it succeeded")


@pytest.mark.parametrize(
    ("verb", "error", "kind"),
    [
        ("get", UnavailableError(503, "ServiceUnavailable", "try later"), TRAINING_JOBS),
        ("list", UnavailableError(503, "ServiceUnavailable", "try later"), TRAINING_JOBS),
        ("create", UnavailableError(503, "ServiceUnavailable", "try later"), JOBS),
        ("apply_status", ConflictError(409, "Conflict", "modified"), TRAINING_JOBS),
        ("apply_status", ValueError("a bug"), TRAINING_JOBS),
    ],
)
async def test_errors_are_passed_by(verb: Any, error: Exception, kind: ResourceKind) -> None:
    world = World()
    world.client.fail_next(verb, error, kind)
    async with at_work(world) as controller:
        controller.observe_event("ADDED", await world.submit())
        await until(lambda: world.names(JOBS) == ["demo-a1"], "the Job exists")


async def test_a_job_is_never_handled_by_two_workers_at_once() -> None:
    world = World()
    active: list[str] = []
    original = Controller.reconcile_once

    class Watched(Controller):
        async def reconcile_once(self, key: tuple[str, str]) -> bool:
            assert key[1] not in active
            active.append(key[1])
            try:
                return await original(self, key)
            finally:
                active.remove(key[1])

    controller = Watched(world.client, world.settings, lambda: world.now)
    task = asyncio.create_task(controller.run())
    for number in range(20):
        controller.observe_event("ADDED", await world.client.create(TRAINING_JOBS, training_job(f"job-{number}")))
        controller.enqueue("TrainingJob", NAMESPACE, f"job-{number // 2}")
    await until(lambda: len(world.names(JOBS)) == 20, "all started")
    controller.stop()
    await task


async def test_reports_of_progress_enqueue_nothing() -> None:
    world = World()
    job = await world.submit()
    await world.settle()
    controller = Controller(world.client, world.settings, lambda: world.now)
    await controller.reconcile_once((NAMESPACE, "demo"))
    assert controller.queue_depth == 0
    report = {"progress": {"step": 5}}
    changed = await world.client.apply_status(TRAINING_JOBS, "demo", NAMESPACE, report, "fettle-receiver")
    assert changed["metadata"]["resourceVersion"] != job["metadata"]["resourceVersion"]
    controller.observe_event("MODIFIED", changed)
    assert controller.queue_depth == 0
    changed = await world.client.patch(TRAINING_JOBS, "demo", NAMESPACE, {"spec": {"suspend": True}})
    controller.observe_event("MODIFIED", changed)
    assert controller.queue_depth == 1


async def test_the_receivers_fields_are_never_touched() -> None:
    world = World()
    await world.submit()
    await world.settle()
    await world.client.apply_status(
        TRAINING_JOBS, "demo", NAMESPACE, {"progress": {"step": 5, "loss": 1.5}}, "fettle-receiver"
    )
    world.pods_run()
    await world.settle()
    world.pod_ends(0, run_result())
    await world.settle()
    assert world.status()["progress"] == {"step": 5, "loss": 1.5}


async def test_a_child_that_the_api_server_refuses_ends_the_job() -> None:
    world = World()
    await world.submit()
    error = InvalidError(422, "Invalid", "spec.template.spec.nodeSelector: Invalid value")
    world.client.fail_next("create", error, JOBS)
    await world.settle()
    assert world.status()["failure"]["code"] == "PodRefused"
    assert "nodeSelector" in world.status()["message"]


async def test_a_child_that_is_forbidden_is_tried_again_and_shown() -> None:
    world = World()
    await world.submit()
    error = ApiError(403, "Forbidden", "exceeded quota: jobs")
    world.client.fail_next("create", error, JOBS, times=2)
    await world.settle()
    assert (world.phase(), world.status()["reason"]) == ("Starting", "CreateForbidden")
    assert "exceeded quota" in world.status()["message"]
    await world.settle()
    assert world.names(JOBS) == ["demo-a1"]


async def test_at_rest_nothing_is_written() -> None:
    world = World()
    await world.submit()
    await world.settle()
    calls = len([call for call in world.client.calls if call.verb not in ("get", "list")])
    for _ in range(3):
        await world.settle()
    assert len([call for call in world.client.calls if call.verb not in ("get", "list")]) == calls


async def test_events_are_posted_once_for_each_change_of_phase() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    await world.settle()
    world.pod_ends(0, run_result())
    await world.settle()
    assert sorted(event["message"].split(":")[0] for event in world.client.items(EVENTS)) == [
        "Running",
        "Starting",
        "Succeeded",
    ]


async def test_a_job_has_at_most_four_events_however_often_it_changes() -> None:
    world = World(settings(retry_backoff_seconds=0))
    await world.submit()
    for attempt in (1, 2, 3):
        await world.settle()
        world.pods_run(attempt)
        await world.settle()
        await world.edit(suspend=True)
        await world.settle()
        world.pods_stop()
        await world.settle()
        await world.edit(suspend=False)
    await world.edit(cancel=True)
    await world.settle()
    world.pods_stop()
    await world.settle()
    told = {event["message"].split(":")[0]: event for event in world.client.items(EVENTS)}
    assert set(told) == {"Starting", "Running", "Suspended", "Cancelled"}
    assert told["Running"]["message"] == "Running: attempt 3 is running"
    assert told["Running"]["count"] == 3


async def test_two_controllers_at_once_do_no_harm() -> None:
    world = World(settings(queues={"default": {"maxRunning": 2}}))
    async with at_work(world), at_work(world):
        for name in ("a", "b"):
            await world.client.create(TRAINING_JOBS, training_job(name))
        await until(lambda: len(world.names(JOBS)) == 2, "both started")
        world.kubelet()
        for name in ("a", "b"):
            world.pod_ends(0, run_result(), job=name)
        await until(lambda: {world.phase("a"), world.phase("b")} == {"Succeeded"}, "both succeeded")
    assert world.names(JOBS) == ["a-a1", "b-a1"]


async def test_a_job_that_is_created_between_the_first_lists_is_looked_at() -> None:
    """Its event brings no news any more when it comes."""

    class Crowded(MemoryClient):
        async def pages(self, kind: ResourceKind, namespace: str | None) -> AsyncGenerator[ResourceList, None]:
            if not self.items(TRAINING_JOBS):
                await self.create(TRAINING_JOBS, training_job("late"))
            async for page in super().pages(kind, namespace):
                yield page

    world = World(client_class=Crowded)
    async with at_work(world, resync_seconds=1000):
        await until(lambda: world.names(JOBS) == ["late-a1"], "the Job exists")


async def test_only_watched_namespaces_are_listed() -> None:
    world = World(settings(watch_namespaces=["team-a", "team-b"]))
    async with at_work(world) as controller:
        await until(controller.synced.is_set, "synced")
    assert {call.namespace for call in world.client.calls} == {"team-a", "team-b"}


async def test_after_a_restart_jobs_that_nobody_has_looked_at_come_first() -> None:
    world = World()
    await world.submit("a-runs")
    await world.settle()
    await world.client.create(TRAINING_JOBS, training_job("b-is-new"))
    world.client.calls.clear()
    async with at_work(world, workers=1):
        await until(lambda: ("get", "a-runs") in _looks(world), "both were looked at")
    assert _looks(world).index(("apply_status", "b-is-new")) < _looks(world).index(("get", "a-runs"))


def _looks(world: World) -> list[tuple[str, str]]:
    return [(call.verb, call.name) for call in world.client.calls if call.kind == "TrainingJob"]
