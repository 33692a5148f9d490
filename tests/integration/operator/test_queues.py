"""Queues on a real API server: who starts, who waits, and what those who wait are told."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import TRAINING_JOBS
from tests.integration.operator.conftest import operated_namespace
from tests.support.operator_process import Namespace
from tests.support.polling import eventually

QUEUES = {"single": {"maxRunning": 1}, "gpus": {"maxGpus": 4}}


@pytest.fixture(scope="module")
def operated(cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("operator")
    with operated_namespace(cluster, folder, FETTLE_QUEUES=json.dumps(QUEUES)) as name:
        yield name


@pytest.fixture
async def world(client: KubernetesClient, operated: str) -> Namespace:
    return Namespace(client, operated)


async def submit(world: Namespace, name: str, queue: str, priority: str = "normal", gpus: int = 0) -> None:
    scheduling = {"queue": queue, "priority": priority}
    await world.submit(name, scheduling=scheduling, resources={"gpusPerNode": gpus}, preflight="skip")


async def is_told(world: Namespace, name: str, message: str, reason: str = "QueueFull") -> None:
    async def is_so() -> bool:
        status = await world.status(name)
        seen[:] = [status]
        said = (status.get("phase"), status.get("reason"), status.get("message"))
        return said == ("Queued", reason, message)

    seen: list[object] = []
    try:
        await eventually(is_so, f"{name} is told {message!r}")
    except AssertionError as error:
        raise AssertionError(f"{error}; it is {seen}") from error


async def are_told(world: Namespace, *names: str) -> None:
    """These wait in this order."""
    for position, name in enumerate(names, start=1):
        await is_told(world, name, f"position {position} in queue 'single', 1 of 1 jobs running")


async def a_second_passes_since(world: Namespace, name: str) -> None:
    """A job that is created then is younger: Kubernetes keeps whole seconds."""
    created = (await world.client.get(TRAINING_JOBS, name, world.name))["metadata"]["creationTimestamp"]

    async def is_over() -> bool:
        return datetime.now(UTC) - datetime.fromisoformat(created) > timedelta(seconds=1)

    await eventually(is_over, "a second passes")


async def test_priority_counts_before_age_and_a_changed_priority_reorders(world: Namespace) -> None:
    await submit(world, "first", "single")
    await world.reaches("Starting", "first")
    order: list[str] = []
    for name, priority in (("low", "low"), ("normal", "normal"), ("high", "high")):
        await submit(world, name, "single", priority)
        order.insert(0, name)
        await are_told(world, *order)
        await a_second_passes_since(world, name)
    await world.edit("low", scheduling={"priority": "high"})
    await are_told(world, "low", "high", "normal")  # of two that are as urgent the older is first

    for ended, next_one in (("first", "low"), ("low", "high"), ("high", "normal")):
        await world.edit(ended, cancel=True)
        await world.reaches("Cancelled", ended)
        await world.reaches("Starting", next_one)
    await world.edit("normal", cancel=True)
    await world.reaches("Cancelled", "normal")


async def test_small_jobs_do_not_overtake_a_large_one_for_ever(world: Namespace) -> None:
    await submit(world, "three", "gpus", gpus=3)
    await world.reaches("Starting", "three")
    await submit(world, "four", "gpus", gpus=4)
    await submit(world, "one", "gpus", gpus=1)
    await is_told(world, "four", "position 1 in queue 'gpus', 3 of 4 GPUs in use")
    await is_told(world, "one", "position 2 in queue 'gpus', 3 of 4 GPUs in use")

    await world.edit("three", cancel=True)
    await world.reaches("Starting", "four")
    await is_told(world, "one", "position 1 in queue 'gpus', 4 of 4 GPUs in use")
    await world.edit("four", cancel=True)
    await world.reaches("Starting", "one")


async def test_what_its_queue_never_has_is_passed_over(world: Namespace) -> None:
    await submit(world, "eight", "gpus", gpus=8)
    status = await world.reaches("Queued", "eight", reason="ExceedsQueue")
    assert status["message"] == (
        "spec.resources asks for 8 GPUs, queue 'gpus' has 4 in all: use another queue, or fewer GPUs"
    )
    await submit(world, "small", "gpus", gpus=1)
    await world.reaches("Starting", "small")


async def test_a_queue_that_is_not_there_is_named_with_those_that_are(world: Namespace) -> None:
    await submit(world, "lost", "singel")
    status = await world.reaches("Pending", "lost", reason="QueueMissing")
    assert status["message"] == "spec.scheduling.queue: there is no queue 'singel'; there are default, gpus, single"
    await world.edit("lost", cancel=True)
    await world.reaches("Cancelled", "lost")
