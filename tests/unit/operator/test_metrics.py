"""What Prometheus sees of a job's life."""

from typing import Any

import pytest

from fettle_client.protocol import TRAINING_JOBS
from tests.support.documented_metrics import documented_metrics
from tests.support.fake_kubelet import NAMESPACE, World, run_result, settings


def value(world: World, name: str, **labels: str) -> float | None:
    return world.controller.metrics.registry.get_sample_value(name, labels)


async def report(world: World, **fields: Any) -> None:
    """What the receiver writes, and what the controller then sees."""
    changed = await world.client.apply_status(TRAINING_JOBS, "demo", NAMESPACE, fields, "fettle-receiver")
    world.controller.observe_event("MODIFIED", changed)


async def running(world: World, **spec: Any) -> None:
    await world.submit(**spec)
    await world.settle()
    world.pods_run()
    await world.settle()


async def test_jobs_are_counted_by_phase_until_they_are_deleted() -> None:
    world = World(settings(queues={"default": {"maxRunning": 1}}))
    await running(world)
    await world.submit("second")
    await world.settle()
    counts = {phase: value(world, "fettle_jobs", phase=phase) for phase in ("Running", "Queued", "Failed")}
    assert counts == {"Running": 1, "Queued": 1, "Failed": 0}
    await world.client.delete(TRAINING_JOBS, "second", NAMESPACE)
    await world.controller.reconcile_once((NAMESPACE, "second"))
    assert value(world, "fettle_jobs", phase="Queued") == 0


async def test_a_life_is_told_by_transitions_times_and_gpu_seconds() -> None:
    world = World()
    world.client.seed(TRAINING_JOBS, {"metadata": {"name": "other", "namespace": "elsewhere"}, "spec": {}})
    await running(world, resources={"gpusPerNode": 2}, preflight="skip")
    world.advance(100)
    world.pod_ends(0, run_result())
    await world.settle("demo")
    assert value(world, "fettle_job_transitions_total", before="Starting", after="Running") == 1
    assert value(world, "fettle_job_transitions_total", before="Running", after="Succeeded") == 1
    assert value(world, "fettle_jobs_ended_total", phase="Succeeded", reason="Succeeded") == 1
    assert value(world, "fettle_run_seconds_sum", method="sft", phase="Succeeded") == 100
    assert value(world, "fettle_gpu_seconds_total", outcome="kept") == 200
    assert value(world, "fettle_gpu_seconds_total", outcome="wasted") == 0


async def test_the_wait_is_counted_from_creation() -> None:
    world = World(settings(queues={"default": {"maxRunning": 1}}))
    await world.submit("first")
    await world.settle()
    await world.submit()
    await world.settle()
    world.advance(50)
    world.pods_run(job="first")
    world.pod_ends(0, run_result(output={"kind": "model", "path": "models/x/1", "digest": "sha256:0"}), job="first")
    await world.settle()
    assert value(world, "fettle_queue_wait_seconds_count", queue="default") == 2
    assert value(world, "fettle_queue_wait_seconds_sum", queue="default") == 50


async def test_time_in_suspension_is_no_wait() -> None:
    world = World()
    await world.submit(suspend=True)
    await world.settle()
    world.advance(500)
    await world.edit(suspend=False)
    await world.settle()
    assert value(world, "fettle_queue_wait_seconds_sum", queue="default") == 0


async def test_the_first_step_is_timed_once() -> None:
    world = World()
    await running(world)
    world.advance(30)
    for step in (1, 2, 3):
        await report(world, progress={"step": step, "lastReportTime": world.stamp()})
    assert value(world, "fettle_first_step_seconds_count", method="sft") == 1
    assert value(world, "fettle_first_step_seconds_sum", method="sft") == 30


async def test_a_step_made_before_the_operator_started_is_not_timed() -> None:
    world = World()
    await running(world)
    await report(world, progress={"step": 1, "lastReportTime": world.stamp()})
    world.new_controller()
    await report(world, progress={"step": 2, "lastReportTime": world.stamp()})
    assert value(world, "fettle_first_step_seconds_count", method="sft") is None


async def test_the_age_is_that_of_the_newest_checkpoint_of_whoever_has_the_oldest() -> None:
    world = World()
    assert value(world, "fettle_checkpoint_age_seconds") == 0
    await running(world)
    world.advance(70)
    assert value(world, "fettle_checkpoint_age_seconds") == 70
    saved = {"name": "checkpoint-5", "step": 5, "attempt": 1, "path": "x", "createdAt": world.stamp()}
    await report(world, checkpoints=[saved])
    world.advance(20)
    assert value(world, "fettle_checkpoint_age_seconds") == 20


@pytest.mark.parametrize(
    ("exit_code", "result", "cause"),
    [
        (85, {"exitCode": 85, "step": 3}, "Preempted"),
        (75, {"exitCode": 75, "step": 3}, "InfrastructureError"),
        (1, None, "TrainerError"),
    ],
)
async def test_restarts_are_counted_by_cause(exit_code: int, result: Any, cause: str) -> None:
    world = World()
    await running(world)
    world.pod_ends(exit_code, result)
    await world.settle()
    assert value(world, "fettle_job_restarts_total", cause=cause) == 1


async def test_no_label_is_a_jobs_own() -> None:
    world = World()
    await world.submit("a-very-special-name")
    await world.settle()
    assert b"a-very-special-name" not in world.controller.metrics.text()


def test_the_document_names_every_metric_and_no_other() -> None:
    names = {family.name for family in World().controller.metrics.registry.collect()}
    assert documented_metrics("The operator") == names
