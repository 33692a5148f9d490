"""Whole lives of jobs, over a fake of the cluster: what the state machine does, seen from outside."""

import pytest

from fettle_client.protocol import ADAPTERS, CONFIG_MAPS, JOBS, PODS, SERVICES, TRAINING_JOBS
from tests.support.fake_kubelet import DIGEST, NAMESPACE, World, run_result, settings


async def test_a_job_is_admitted_started_watched_and_becomes_an_adapter() -> None:
    world = World()
    await world.submit()
    await world.settle()
    assert (world.phase(), world.status()["reason"]) == ("Starting", "PodPending")
    assert world.names(JOBS) == world.names(CONFIG_MAPS) == ["demo-a1"]

    world.pods_run()
    await world.settle()
    assert world.phase() == "Running"

    world.advance(90)
    world.pod_ends(0, run_result())
    await world.settle()
    status = world.status()
    assert (status["phase"], status["message"]) == ("Succeeded", "trained 150 steps; adapter demo")
    assert status["adapter"] == "demo"
    assert status["output"]["digest"] == DIGEST
    assert status["activeSeconds"] == 90
    assert status["completionTime"]
    assert status["attempts"]["current"] == 1
    assert status["resolved"]["image"] == "fettle-trainer:test"
    assert status["resolved"]["datasetDigest"] == "sha256:d"
    assert status["resolved"]["hyperparameters"]["epochs"] == 3
    adapter = world.adapter()
    assert adapter is not None
    assert adapter["spec"]["digest"] == DIGEST
    assert adapter["spec"]["source"]["trainingJob"] == "demo"
    assert adapter["status"]["phase"] == "Available"
    assert adapter["status"]["provenance"]["finalLoss"] == 0.5
    assert "ownerReferences" not in adapter["metadata"]


async def test_every_phase_is_passed_in_order() -> None:
    world = World(settings(queues={"default": {"maxRunning": 1}}))
    await world.submit("first")
    await world.settle()
    await world.submit()
    await world.settle()
    seen = [world.phase()]
    world.pods_run(job="first")
    world.pod_ends(0, run_result(output={"kind": "model", "path": "models/x/1", "digest": DIGEST}), job="first")
    await world.settle()
    seen.append(world.phase())
    world.pods_run()
    await world.settle()
    seen.append(world.phase())
    world.pod_ends(0, run_result())
    await world.settle()
    seen.append(world.phase())
    assert seen == ["Queued", "Starting", "Running", "Succeeded"]


async def test_admission_is_written_before_the_job_exists() -> None:
    world = World()
    await world.submit()
    while not world.names(JOBS):
        before = world.status()
        await world.controller.reconcile_once((NAMESPACE, "demo"))
    admitted = next(c for c in before["conditions"] if c["type"] == "Admitted")
    assert admitted["status"] == "True"
    assert before["attempts"]["current"] == 1


@pytest.mark.parametrize(
    ("exit_code", "code"),
    [
        (64, "ConfigurationInvalid"),
        (65, "DatasetInvalid"),
        (66, "ModelUnavailable"),
        (67, "DiskFull"),
        (70, "OutOfMemory"),
        (71, "LossNotFinite"),
    ],
)
async def test_a_final_exit_code_ends_the_job(exit_code: int, code: str) -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    world.pod_ends(exit_code)
    await world.settle()
    failure = world.status()["failure"]
    assert (world.phase(), failure["code"], failure["exitCode"]) == ("Failed", code, exit_code)
    assert failure["message"]
    assert failure["hint"]
    assert failure["pod"] == "demo-a1-0"
    assert world.names(JOBS) == ["demo-a1"]
    assert world.names(ADAPTERS) == []


async def test_the_trainers_own_words_win() -> None:
    world = World()
    await world.submit()
    await world.settle()
    told = {"code": "DatasetInvalid", "message": "row 3: no assistant turn", "hint": "add one"}
    world.pod_ends(65, run_result(65, step=0, failure=told))
    await world.settle()
    failure = world.status()["failure"]
    assert (failure["message"], failure["hint"]) == ("row 3: no assistant turn", "add one")
    assert world.condition("Failed")["message"] == "row 3: no assistant turn"


async def test_failures_are_repeated_until_the_retries_are_used_up() -> None:
    world = World()
    await world.submit(limits={"maxRetries": 2})
    for attempt in (1, 2, 3):
        await world.settle()
        assert world.names(JOBS)[-1] == f"demo-a{attempt}"
        assert world.run_config(attempt)["job"]["attempt"] == attempt
        world.pods_run(attempt)
        world.pod_ends(75, attempt=attempt)
        await world.settle()
        world.advance(60)
    status = world.status()
    assert (status["phase"], status["reason"]) == ("Failed", "RetriesExhausted")
    assert "InfrastructureError" in status["message"]
    assert status["attempts"]["failures"] == 3
    assert world.names(JOBS) == ["demo-a1", "demo-a2", "demo-a3"]


async def test_the_next_attempt_waits_for_its_back_off() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pod_ends(75)
    await world.settle()
    assert world.names(JOBS) == ["demo-a1"]
    assert world.phase() == "Starting"
    world.advance(11)
    await world.settle()
    assert world.names(JOBS) == ["demo-a1", "demo-a2"]


async def test_without_retries_the_failure_itself_is_the_reason() -> None:
    world = World()
    await world.submit(limits={"maxRetries": 0})
    await world.settle()
    world.pod_ends(1)
    await world.settle()
    assert world.status()["failure"]["code"] == "TrainerError"


async def test_an_unasked_checkpoint_is_a_preemption_and_costs_no_retry() -> None:
    world = World()
    await world.submit(limits={"maxRetries": 0})
    for attempt in range(1, 6):
        await world.settle()
        world.pods_run(attempt)
        world.pod_ends(85, run_result(85, step=10 * attempt), attempt=attempt)
    await world.settle()
    attempts = world.status()["attempts"]
    assert (attempts["current"], attempts["preemptions"], attempts["failures"]) == (6, 5, 0)
    assert world.phase() == "Starting"


async def test_three_preemptions_without_a_step_end_the_job() -> None:
    world = World()
    await world.submit()
    for attempt in (1, 2, 3):
        await world.settle()
        world.pods_run(attempt)
        world.pod_ends(85, run_result(85, step=0), attempt=attempt)
    await world.settle()
    assert world.status()["reason"] == "NoProgress"
    assert world.status()["attempts"]["preemptions"] == 3


async def test_a_step_between_preemptions_counts_as_progress() -> None:
    world = World()
    await world.submit()
    for attempt, step in enumerate((0, 0, 5, 5, 5), 1):
        await world.settle()
        world.pods_run(attempt)
        world.pod_ends(85, run_result(85, step=step), attempt=attempt)
    await world.settle()
    assert world.phase() == "Starting"
    assert world.status()["attempts"]["withoutProgress"] == 2


async def test_suspending_waits_for_the_pods_and_resuming_starts_the_next_attempt() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    await world.settle()
    await world.edit(suspend=True)
    world.advance(60)
    await world.settle()
    assert world.phase() == "Running"
    assert world.condition("Suspended")["reason"] == "Suspending"
    world.pods_stop()
    await world.settle()
    assert world.phase() == "Suspended"
    assert world.names(JOBS) == world.names(PODS) == []
    assert world.condition("Admitted")["status"] == "False"
    await world.edit(suspend=False)
    await world.settle()
    assert world.names(JOBS) == ["demo-a2"]
    attempts = world.status()["attempts"]
    assert (attempts["preemptions"], attempts["failures"]) == (0, 0)
    assert world.status()["activeSeconds"] == 60


async def test_a_job_that_is_created_suspended_starts_with_its_first_attempt() -> None:
    world = World()
    await world.submit(suspend=True)
    await world.settle()
    assert world.phase() == "Suspended"
    await world.edit(suspend=False)
    await world.settle()
    assert world.names(JOBS) == ["demo-a1"]


async def test_a_run_that_succeeds_while_it_is_suspended_has_succeeded() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    await world.settle()
    world.pod_ends(0, run_result())
    await world.edit(suspend=True)
    await world.settle()
    assert world.phase() == "Succeeded"


@pytest.mark.parametrize("started", [False, True])
async def test_cancel_stops_the_run_and_is_final(started: bool) -> None:
    world = World()
    await world.submit(suspend=not started)
    await world.settle()
    if started:
        world.pods_run()
        await world.settle()
    await world.edit(cancel=True)
    await world.settle()
    if started:
        assert world.phase() == "Running"
        world.pods_stop()
        await world.settle()
    assert (world.phase(), world.status()["reason"]) == ("Cancelled", "Cancelled")
    assert world.names(JOBS) == []
    await world.edit(limits={"maxRetries": 9})
    await world.settle()
    assert (world.phase(), world.names(JOBS)) == ("Cancelled", [])


async def test_a_deleted_run_is_a_preemption() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    await world.settle()
    await world.client.delete(JOBS, "demo-a1", NAMESPACE)
    await world.settle()
    assert world.names(JOBS) == []
    world.pods_stop()
    await world.settle()
    assert world.names(JOBS) == ["demo-a2"]
    assert world.status()["attempts"]["preemptions"] == 1


async def test_nothing_starts_after_the_end_whatever_is_deleted() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pod_ends(64)
    await world.settle()
    before = world.status()
    await world.client.delete(JOBS, "demo-a1", NAMESPACE)
    world.pods_stop()
    world.advance(10_000)
    await world.settle()
    assert world.names(JOBS) == []
    assert world.status() == before


async def test_a_finished_job_is_deleted_after_its_time_and_its_adapter_stays() -> None:
    world = World()
    await world.submit(limits={"ttlSecondsAfterFinished": 60})
    await world.settle()
    world.pod_ends(0, run_result())
    await world.settle()
    world.advance(59)
    await world.settle()
    assert world.names(TRAINING_JOBS) == ["demo"]
    world.advance(2)
    await world.settle()
    world.pods_stop()
    assert world.names(TRAINING_JOBS) == world.names(JOBS) == world.names(CONFIG_MAPS) == []
    assert world.names(ADAPTERS) == ["demo"]


async def test_several_nodes_get_a_service_and_one_bad_pod_decides() -> None:
    world = World()
    await world.submit(resources={"gpusPerNode": 1, "nodes": 2}, preflight="skip")
    await world.settle()
    assert len(world.names(SERVICES)) == 1
    assert world.run_config()["topology"]["rendezvous"].startswith("demo-a1-0.tj-")
    world.pods_run()
    await world.settle()
    assert world.phase() == "Running"
    world.advance(10)
    world.pod_ends(1, index=0)
    world.pod_ends(71, index=1)
    await world.settle()
    assert world.status()["failure"]["code"] == "LossNotFinite"
    assert world.status()["gpuSeconds"] == {"total": 20, "wasted": 20}


async def test_a_result_that_nobody_read_is_read_again() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    await world.client.delete(PODS, "demo-a1-0", NAMESPACE)
    world.pods_stop()
    world.job_ends("Complete")
    await world.settle()
    assert world.names(JOBS) == ["demo-a1", "demo-a2"]
    assert world.status()["attempts"]["failures"] == 0


async def test_a_job_of_kueue_starts_suspended_and_shows_kueues_reason() -> None:
    world = World(settings(queues={"default": {"maxRunning": 0}}))
    await world.submit(scheduling={"kueueQueue": "team-a"})
    await world.settle()
    run = world.client.item(JOBS, "demo-a1", NAMESPACE)
    assert run is not None
    assert run["spec"]["suspend"] is True
    assert run["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert (world.phase(), world.status()["reason"]) == ("Queued", "WaitingForKueue")
