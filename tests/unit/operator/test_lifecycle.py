"""Whole lives of jobs, over a fake of the cluster: what the state machine does, seen from outside."""

from typing import Any

import pytest

from fettle_client.protocol import ADAPTERS, CLAIMS, CONFIG_MAPS, JOBS, PODS, SERVICES, TRAINING_JOBS
from tests.support.fake_kubelet import DIGEST, NAMESPACE, OTHER_DIGEST, World, run_result, settings


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


async def test_a_missing_claim_is_waited_for() -> None:
    world = World(has_claim=False)
    await world.submit()
    await world.settle()
    assert (world.phase(), world.status()["reason"]) == ("Pending", "WorkspaceMissing")
    assert "kubectl apply" in world.status()["message"]
    world.client.seed(CLAIMS, {"metadata": {"name": "fettle-workspace", "namespace": NAMESPACE}})
    await world.settle()
    assert world.phase() == "Starting"


@pytest.mark.parametrize("start", [{"trainingJob": "base"}, {"adapter": "base"}])
async def test_a_missing_source_is_waited_for(start: dict[str, str]) -> None:
    world = World()
    await world.submit(startFrom=start)
    await world.settle()
    assert (world.phase(), world.status()["reason"]) == ("Pending", "SourceMissing")
    await world.submit("base")
    await world.settle()
    if "trainingJob" in start:
        assert world.status()["reason"] == "SourceNotReady"
    world.pods_run(job="base")
    world.pod_ends(0, run_result(), job="base")
    await world.settle()
    assert world.phase() == "Starting"
    given = world.run_config()["start"]
    assert given.get("jobDirectory", "").startswith("jobs/base-") or given["adapterPath"].startswith("adapters/")


async def test_an_invalid_spec_fails_at_once() -> None:
    world = World()
    job = await world.submit()
    job["spec"]["dataset"] = None
    world.client.seed(TRAINING_JOBS, job)
    await world.settle()
    assert world.status()["failure"]["code"] == "ConfigurationInvalid"
    assert world.condition("Accepted")["reason"] == "Invalid"
    assert "spec.dataset" in world.status()["message"]


async def test_a_spec_that_cannot_be_read_fails_too() -> None:
    world = World()
    job = await world.submit()
    job["spec"]["adapter"]["novelty"] = "of a newer CRD"
    world.client.seed(TRAINING_JOBS, job)
    await world.controller.reconcile_once((NAMESPACE, "demo"))
    assert world.status()["failure"]["code"] == "ConfigurationInvalid"


async def test_a_foreign_resource_in_the_way_is_a_name_conflict() -> None:
    world = World()
    world.client.seed(JOBS, _foreign_job({}))
    await world.submit()
    await world.settle("demo")
    assert world.status()["failure"]["code"] == "NameConflict"
    assert "demo-a1" in world.status()["message"]


async def test_leftovers_of_an_earlier_job_of_the_name_are_waited_for() -> None:
    world = World()
    owner = {"kind": "TrainingJob", "name": "demo", "uid": "an-older-one"}
    world.client.seed(JOBS, _foreign_job({"ownerReferences": [owner]}))
    await world.submit()
    await world.settle("demo")
    assert (world.phase(), world.status()["reason"]) == ("Starting", "WaitingForCleanup")
    await world.client.delete(JOBS, "demo-a1", NAMESPACE)
    await world.settle()
    assert world.status()["reason"] == "PodPending"


def _foreign_job(metadata: dict[str, Any]) -> dict[str, Any]:
    name = {"name": "demo-a1", "namespace": NAMESPACE, "labels": {}, **metadata}
    return {"metadata": name, "spec": {"suspend": True, "parallelism": 1}}


async def test_an_adapter_of_another_job_is_not_overwritten() -> None:
    world = World()
    world.client.seed(ADAPTERS, _foreign_adapter())
    await world.submit()
    await world.settle()
    assert world.status()["failure"]["code"] == "AdapterConflict"
    assert world.names(JOBS) == []


async def test_an_adapter_that_appears_during_the_run_is_not_overwritten_either() -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pods_run()
    world.client.seed(ADAPTERS, _foreign_adapter())
    world.pod_ends(0, run_result())
    await world.settle()
    status = world.status()
    assert (status["phase"], status["reason"]) == ("Failed", "AdapterConflict")
    assert "adapters/demo/" in status["message"]
    assert status["output"]["digest"] == DIGEST
    adapter = world.adapter()
    assert adapter is not None
    assert adapter["spec"]["digest"] == OTHER_DIGEST


async def test_a_new_version_replaces_source_and_digest_and_keeps_history() -> None:
    world = World()
    foreign = _foreign_adapter()
    foreign["status"] = {"digest": OTHER_DIGEST, "history": [{"digest": OTHER_DIGEST, "trainingJob": "other"}]}
    world.client.seed(ADAPTERS, foreign)
    await world.submit(output={"onConflict": "newVersion"})
    await world.settle()
    world.pod_ends(0, run_result())
    await world.settle()
    assert world.phase() == "Succeeded"
    adapter = world.adapter()
    assert adapter is not None
    assert adapter["spec"]["digest"] == DIGEST
    assert adapter["spec"]["source"]["trainingJob"] == "demo"
    assert [version["digest"] for version in adapter["status"]["history"]] == [DIGEST, OTHER_DIGEST]


@pytest.mark.parametrize("on_conflict", ["fail", "newVersion"])
async def test_a_job_that_is_created_again_is_another_job(on_conflict: str) -> None:
    world = World()
    await world.submit()
    await world.settle()
    world.pod_ends(0, run_result(output={"kind": "adapter", "path": "adapters/demo/cd", "digest": OTHER_DIGEST}))
    await world.settle()
    await world.client.delete(TRAINING_JOBS, "demo", NAMESPACE)
    world.pods_stop()
    await world.submit(output={"onConflict": on_conflict})
    await world.settle()
    if on_conflict == "fail":
        assert world.status()["reason"] == "AdapterConflict"
        assert "an earlier one of the same name" in world.status()["message"]
        return
    world.pod_ends(0, run_result())
    await world.settle()
    adapter = world.adapter()
    assert adapter is not None
    assert (world.phase(), adapter["spec"]["digest"], adapter["status"]["digest"]) == ("Succeeded", DIGEST, DIGEST)


async def test_a_new_version_needs_the_same_base_model() -> None:
    world = World()
    foreign = _foreign_adapter()
    foreign["spec"]["baseModel"]["id"] = "models/another"
    world.client.seed(ADAPTERS, foreign)
    await world.submit(output={"onConflict": "newVersion"})
    await world.settle()
    assert world.status()["failure"]["code"] == "AdapterConflict"
    assert "models/another" in world.status()["message"]


def _foreign_adapter() -> dict[str, Any]:
    return {
        "metadata": {"name": "demo", "namespace": NAMESPACE},
        "spec": {
            "baseModel": {"id": "models/tiny"},
            "source": {"trainingJob": "other"},
            "digest": OTHER_DIGEST,
        },
    }


async def test_a_model_makes_no_adapter() -> None:
    world = World()
    await world.submit(adapter={"type": "none"})
    await world.settle()
    world.pod_ends(0, run_result(output={"kind": "model", "path": "models/demo/ab", "digest": DIGEST}))
    await world.settle()
    assert world.phase() == "Succeeded"
    assert "models/demo/ab" in world.status()["message"]
    assert world.adapter() is None


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
    await world.submit(resources={"gpusPerNode": 1, "nodes": 2})
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
