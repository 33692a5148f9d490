"""What is in a job's way: an invalid spec, a missing claim or source, a name that is taken."""

from typing import Any

import pytest

from fettle_client.protocol import CLAIMS, JOBS, TRAINING_JOBS
from tests.support.fake_kubelet import NAMESPACE, World, run_result


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
    world.new_controller()
    await world.settle()
    assert world.status()["failure"]["code"] == "ConfigurationInvalid"
    assert world.condition("Accepted")["reason"] == "Invalid"
    assert "spec.dataset" in world.status()["message"]


async def test_a_spec_that_cannot_be_read_fails_too() -> None:
    world = World()
    job = await world.submit()
    job["spec"]["adapter"]["novelty"] = "of a newer CRD"
    world.client.seed(TRAINING_JOBS, job)
    world.new_controller()
    await world.controller.reconcile_once((NAMESPACE, "demo"))
    assert world.status()["failure"]["code"] == "ConfigurationInvalid"


@pytest.mark.parametrize(("preflight", "taken"), [("skip", "demo-a1"), ("always", "demo-a0")])
async def test_a_foreign_resource_in_the_way_is_a_name_conflict(preflight: str, taken: str) -> None:
    world = World()
    world.client.seed(JOBS, _foreign_job(taken, {}))
    await world.submit(preflight=preflight)
    await world.settle("demo")
    assert world.status()["failure"]["code"] == "NameConflict"
    assert taken in world.status()["message"]


async def test_leftovers_of_an_earlier_job_of_the_name_are_waited_for() -> None:
    world = World()
    owner = {"kind": "TrainingJob", "name": "demo", "uid": "an-older-one"}
    world.client.seed(JOBS, _foreign_job("demo-a1", {"ownerReferences": [owner]}))
    await world.submit()
    await world.settle("demo")
    assert (world.phase(), world.status()["reason"]) == ("Starting", "WaitingForCleanup")
    await world.client.delete(JOBS, "demo-a1", NAMESPACE)
    await world.settle()
    assert world.status()["reason"] == "PodPending"


async def test_leftovers_of_an_earlier_preflight_are_waited_for() -> None:
    world = World()
    owner = {"kind": "TrainingJob", "name": "demo", "uid": "an-older-one"}
    world.client.seed(JOBS, _foreign_job("demo-a0", {"ownerReferences": [owner]}))
    await world.submit(preflight="always")
    await world.settle("demo")
    assert (world.phase(), world.status()["reason"]) == ("Pending", "Preflight")
    assert "waiting until Job 'demo-a0' of an earlier job of this name is removed" in world.status()["message"]
    await world.client.delete(JOBS, "demo-a0", NAMESPACE)
    await world.settle()
    assert "pod 'demo-a0-0' is starting" in world.status()["message"]


def _foreign_job(name: str, metadata: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {}, **metadata}
    return {"metadata": metadata, "spec": {"suspend": True, "parallelism": 1}}
