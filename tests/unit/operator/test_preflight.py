"""What the operator makes of a preflight: nothing is claimed before it has passed, and its words become the job's."""

from typing import Any

import pytest

from fettle_client.protocol import CONFIG_MAPS, JOBS, PODS
from fettle_operator.builders import build_preflight_job
from fettle_operator.settings import QueueLimits
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.validation import admit
from tests.support.fake_kubelet import World, run_result, settings, training_job

GPU = {"resources": {"gpusPerNode": 1}}
ESTIMATE = {"parameters": 7, "memory": {"expectedBytes": 1000}}


def passed(**more: Any) -> dict[str, Any]:
    """The termination message of a preflight that found nothing."""
    found = {"baseModelRevision": "c0ffee", "datasetDigest": "sha256:d", "estimate": ESTIMATE}
    return {"exitCode": 0, "step": 0, **found, **more}


def failed(code: int, failure: str) -> dict[str, Any]:
    told = {"code": failure, "message": "spec.dataset: row 3 is broken", "hint": "Correct it.", "exitCode": code}
    return {"exitCode": code, "failure": told}


async def test_a_job_with_gpus_is_examined_before_it_is_admitted() -> None:
    world = World()
    await world.submit(**GPU)
    await world.settle()

    assert world.names(JOBS) == world.names(CONFIG_MAPS) == ["demo-a0"]
    assert world.run_config(attempt=0)["topology"]["usesGpu"] is True
    assert (world.phase(), world.status()["reason"]) == ("Pending", "Preflight")
    assert "Admitted" not in {condition["type"] for condition in world.status()["conditions"]}

    world.pods_run(attempt=0)
    world.pod_ends(0, passed(), attempt=0)
    await world.settle()
    assert world.names(JOBS) == ["demo-a0", "demo-a1"]
    assert world.phase() == "Starting"
    assert world.status()["attempts"]["current"] == 1


async def test_what_it_found_is_shown() -> None:
    world = World()
    await world.submit(**GPU)
    await world.settle()
    world.pod_ends(0, passed(warnings=["2 of 24 training examples are cut at maxLength"]), attempt=0)
    await world.settle()

    accepted = world.condition("Accepted")
    assert (accepted["status"], accepted["reason"]) == ("True", "Accepted")
    assert accepted["message"] == "2 of 24 training examples are cut at maxLength"
    assert world.status()["resolved"]["estimate"] == ESTIMATE
    assert world.status()["resolved"]["datasetDigest"] == "sha256:d"

    world.pods_run()
    await world.settle()
    assert world.condition("Accepted")["message"] == accepted["message"]


async def test_the_measured_peak_stands_beside_the_estimate() -> None:
    world = World()
    await world.submit(**GPU)
    await world.settle()
    world.pod_ends(0, passed(), attempt=0)
    await world.settle()
    world.pods_run()
    world.pod_ends(0, {**run_result(), "metrics": {"peakMemoryBytes": 1100}})
    await world.settle()

    assert world.phase() == "Succeeded"
    assert world.status()["resolved"]["estimate"] == {**ESTIMATE, "measured": {"peakMemoryBytes": 1100}}


@pytest.mark.parametrize(
    ("code", "failure"),
    [(64, "ConfigurationInvalid"), (65, "DatasetInvalid"), (66, "ModelUnavailable"), (67, "DiskFull")],
)
async def test_what_cannot_work_ends_the_job_before_anything_is_claimed(code: int, failure: str) -> None:
    world = World()
    await world.submit(**GPU)
    await world.settle()
    world.pod_ends(code, failed(code, failure), attempt=0)
    await world.settle()

    assert (world.phase(), world.status()["reason"]) == ("Failed", failure)
    assert world.condition("Accepted")["status"] == "False"
    assert world.status()["failure"]["message"] == "spec.dataset: row 3 is broken"
    assert world.names(JOBS) == ["demo-a0"]
    assert "gpuSeconds" not in world.status()


async def test_a_preflight_without_a_verdict_is_repeated_and_counted() -> None:
    world = World()
    await world.submit(**GPU, limits={"maxRetries": 1})
    await world.settle()
    world.pod_ends(1, attempt=0)
    await world.settle()
    world.pods_stop()
    await world.settle()
    assert world.status()["attempts"]["failures"] == 1
    assert world.names(JOBS) == ["demo-a0"]
    assert world.phase() == "Pending"

    world.pod_ends(1, attempt=0)
    await world.settle()
    assert world.phase() == "Failed"


async def test_one_that_was_taken_away_is_repeated_and_counts_for_nothing() -> None:
    world = World()
    await world.submit(**GPU, limits={"maxRetries": 0})
    await world.settle()
    world.pod_status("demo-a0", conditions=[{"type": "DisruptionTarget", "status": "True"}])
    world.pod_ends(143, attempt=0)
    await world.settle()
    world.pods_stop()
    await world.settle()

    assert world.names(JOBS) == ["demo-a0"]
    assert world.phase() == "Pending"
    assert (world.status().get("attempts") or {}).get("failures", 0) == 0


@pytest.mark.parametrize(
    ("spec", "is_examined"),
    [
        ({"resources": {"gpusPerNode": 0}}, False),
        ({"resources": {"gpusPerNode": 0}, "preflight": "always"}, True),
        ({**GPU, "preflight": "skip"}, False),
        ({**GPU, "runtime": {"command": ["python", "mine.py"]}}, False),
        ({**GPU, "runtime": {"command": ["python", "mine.py"]}, "preflight": "always"}, True),
    ],
)
async def test_who_is_examined(spec: dict[str, Any], is_examined: bool) -> None:
    world = World()
    await world.submit(**spec)
    await world.settle()
    assert world.names(JOBS) == ["demo-a0" if is_examined else "demo-a1"]


async def test_an_examined_job_takes_no_place_in_its_queue() -> None:
    world = World(settings(queues={"default": QueueLimits(max_running=1)}))
    await world.submit("examined", **GPU)
    await world.submit("other")
    await world.settle()
    assert world.names(JOBS) == ["examined-a0", "other-a1"]

    world.pod_ends(0, passed(), attempt=0, job="examined")
    await world.settle()
    assert world.phase("examined") == "Queued"


async def test_suspended_it_stops_and_later_starts_again() -> None:
    world = World()
    await world.submit(**GPU)
    await world.settle()
    world.pods_run(attempt=0)
    await world.edit(suspend=True)
    await world.settle()
    world.pods_stop()
    await world.settle()
    assert world.phase() == "Suspended"
    assert world.names(JOBS) == []

    await world.edit(suspend=False)
    await world.settle()
    assert world.names(JOBS) == ["demo-a0"]


async def test_suspended_after_it_passed_it_is_not_repeated() -> None:
    world = World()
    await world.submit(**GPU, suspend=True)
    await world.settle()
    assert world.names(JOBS) == []
    await world.edit(suspend=False)
    await world.settle()
    world.pod_ends(0, passed(), attempt=0)
    await world.edit(suspend=True)
    await world.settle()
    assert world.phase() == "Suspended"

    await world.edit(suspend=False)
    await world.settle()
    assert world.names(JOBS) == ["demo-a0", "demo-a1"]


async def test_cancelled_it_stops() -> None:
    world = World()
    await world.submit(**GPU)
    await world.settle()
    world.pods_run(attempt=0)
    await world.edit(cancel=True)
    await world.settle()
    world.pods_stop()
    await world.settle()
    assert world.phase() == "Cancelled"
    assert world.names(PODS) == []


def test_its_pod_asks_for_no_gpu_no_place_and_no_token() -> None:
    spec = {
        "resources": {"gpusPerNode": 8, "nodes": 4, "cpu": "64", "memory": "900Gi"},
        "runtime": {
            "image": "registry.example/trainer:2",
            "nodeSelector": {"gpu": "h200"},
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
            "runtimeClassName": "nvidia",
            "imagePullSecrets": [{"name": "registry"}],
        },
        "scheduling": {"kueueQueue": "team-a"},
        "credentials": {"secretName": "demo-credentials"},
    }
    job = admit(training_job(**spec))
    job["metadata"]["uid"] = "1a2b3c4d-0000-4000-8000-000000000000"
    made = build_preflight_job(job, TrainingJobSpec.model_validate(job["spec"]), settings())

    assert made["metadata"]["name"] == "demo-a0"
    assert made["spec"]["parallelism"] == 1
    assert "suspend" not in made["spec"]
    pod = made["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"] == ["python", "-m", "fettle_trainer.preflight"]
    assert container["image"] == "registry.example/trainer:2"
    assert container["resources"]["requests"] == {"cpu": "1", "memory": "2Gi"}
    assert container["envFrom"] == [{"secretRef": {"name": "demo-credentials", "optional": False}}]
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert {"nodeSelector", "tolerations", "affinity", "runtimeClassName"}.isdisjoint(pod)
    assert "progress-token" not in {volume["name"] for volume in pod["volumes"]}
