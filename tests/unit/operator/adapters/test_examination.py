"""The files of an Adapter: who reads them, when, and what comes of it."""

import json
from typing import Any
from unittest.mock import patch

import pytest

from fettle_client.protocol import (
    ADAPTERS,
    JOBS,
    PODS,
    TRAINING_JOBS,
    ApiError,
    ConflictError,
    InvalidError,
    Manifest,
    ResourceKind,
)
from fettle_operator.adapters.controller import Look
from tests.support.adapter_world import DIGEST, NAMESPACE, OTHER_DIGEST, AdapterWorld, place, report


def request(world: AdapterWorld) -> dict[str, Any]:
    """What the one Job is to examine."""
    [job] = world.client.items(JOBS)
    return dict(json.loads(job["spec"]["template"]["spec"]["containers"][0]["args"][0]))


async def test_files_of_the_workspace_are_examined_and_the_job_is_removed() -> None:
    world = AdapterWorld()
    await world.create()
    await world.settle()
    assert (world.phase(), world.condition("ArtifactReady")) == ("Pending", ("Unknown", "Examining"))
    assert request(world)["path"] == "uploads/demo"
    world.examined(report())
    await world.settle()
    status = world.status()
    assert status["phase"] == "Available"
    assert (status["path"], status["digest"], status["rank"]) == (place(), DIGEST, 8)
    assert (status["sizeBytes"], status["targetModules"]) == (1024, ["q_proj"])
    assert status["verifiedAt"] == world.stamp()
    assert status["observedGeneration"] == 1
    assert [version["digest"] for version in status["history"]] == [DIGEST]
    assert world.condition("Compatible") == ("True", "Fits")
    assert world.condition("Loaded") == ("False", "NotRequested")
    assert world.names(JOBS) == []
    assert not world.has_finalizer()


async def test_at_rest_nothing_is_written() -> None:
    world = AdapterWorld()
    await world.ready()
    before = len([call for call in world.client.calls if call.verb not in ("get", "list")])
    for _ in range(3):
        world.advance(1000)
        await world.settle()
    assert len([call for call in world.client.calls if call.verb not in ("get", "list")]) == before


async def test_a_repository_of_the_hub_is_fetched_by_the_job() -> None:
    world = AdapterWorld()
    await world.create(source={"huggingFace": {"id": "acme/helper", "revision": "v1"}})
    await world.settle()
    assert request(world)["huggingFace"] == {"id": "acme/helper", "revision": "v1"}
    world.examined(report(source="acme/helper@c0ffee"))
    await world.settle()
    assert world.phase() == "Available"
    assert "acme/helper@c0ffee" in world.status()["message"]


@pytest.mark.parametrize("reason", ["HubUnavailable", "FilesMissing", "FilesInvalid", "DigestMismatch"])
async def test_files_that_cannot_be_used_are_told_and_looked_at_again(reason: str) -> None:
    world = AdapterWorld()
    await world.create()
    await world.settle()
    world.examined({"problem": {"reason": reason, "message": "what is wrong"}})
    await world.settle()
    assert (world.phase(), world.condition("ArtifactReady")) == ("Failed", ("False", reason))
    assert world.status()["message"] == "what is wrong"
    [job] = world.client.items(JOBS)
    world.advance(61)
    await world.settle()
    [again] = world.client.items(JOBS)
    assert again["metadata"]["uid"] != job["metadata"]["uid"]
    world.examined(report())
    await world.settle()
    assert world.phase() == "Available"


async def test_the_longer_it_is_wrong_the_rarer_it_is_looked_at() -> None:
    world = AdapterWorld()
    await world.create()
    looks = 0
    for _ in range(120):
        await world.settle()
        if world.names(JOBS) and not any(j.get("status") for j in world.client.items(JOBS)):
            world.examined({"problem": {"reason": "FilesMissing", "message": "not there"}})
            looks += 1
        world.advance(60)
    assert 6 <= looks <= 9


async def test_a_pod_that_came_to_no_verdict_is_repeated() -> None:
    world = AdapterWorld()
    await world.create()
    await world.settle()
    world.examined(None, exit_code=137)
    await world.settle()
    assert world.condition("ArtifactReady") == ("Unknown", "ExaminationFailed")
    assert "137" in world.status()["message"]
    world.advance(61)
    await world.settle()
    world.examined(report())
    await world.settle()
    assert world.phase() == "Available"


async def test_why_the_pod_does_not_start_is_told() -> None:
    world = AdapterWorld()
    await world.create()
    await world.settle()
    [job] = world.client.items(JOBS)
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    pod = {"metadata": {"name": "x", "namespace": NAMESPACE, "labels": job["metadata"]["labels"]}}
    world.client.seed(PODS, {**pod, "status": {"phase": "Pending", "conditions": [condition]}})
    await world.settle()
    assert "Unschedulable: 0/1 nodes" in world.status()["message"]


async def test_a_change_of_the_source_is_a_new_version_and_the_old_one_stays_until_it_is_there() -> None:
    world = AdapterWorld()
    await world.ready()
    await world.edit(source={"workspace": {"path": "uploads/second"}})
    await world.settle()
    assert request(world)["path"] == "uploads/second"
    assert (world.phase(), world.status()["digest"]) == ("Pending", DIGEST)
    world.advance(5)
    world.examined(report(digest=OTHER_DIGEST))
    await world.settle()
    assert world.status()["digest"] == OTHER_DIGEST
    assert [version["digest"] for version in world.status()["history"]] == [OTHER_DIGEST, DIGEST]


async def test_a_change_while_files_are_examined_starts_over() -> None:
    world = AdapterWorld()
    await world.create()
    await world.settle()
    await world.edit(source={"workspace": {"path": "uploads/second"}})
    await world.settle()
    assert request(world)["path"] == "uploads/second"


async def test_an_adapter_of_a_job_waits_for_it_and_takes_its_digest_and_provenance() -> None:
    world = AdapterWorld()
    await world.create(source={"trainingJob": "trained"})
    await world.settle()
    assert world.condition("ArtifactReady") == ("Unknown", "SourceMissing")
    job = {"metadata": {"name": "trained", "namespace": NAMESPACE}, "spec": {}}
    world.client.seed(TRAINING_JOBS, job)
    await world.settle()
    assert world.condition("ArtifactReady") == ("Unknown", "SourceNotReady")
    status = {
        "output": {"kind": "adapter", "path": place(), "digest": DIGEST},
        "resolved": {"image": "trainer:1", "datasetDigest": "sha256:d", "baseModelRevision": "c0ffee"},
        "progress": {"loss": 0.25},
    }
    world.client.seed(TRAINING_JOBS, {**job, "status": status})
    await world.settle()
    assert (request(world)["path"], request(world)["digest"]) == (place(), DIGEST)
    world.examined(report())
    await world.settle()
    provenance = world.status()["provenance"]
    assert (provenance["trainingJob"], provenance["image"], provenance["finalLoss"]) == ("trained", "trainer:1", 0.25)
    assert world.status()["history"][0]["trainingJob"] == "trained"


async def test_what_a_run_is_just_publishing_is_not_examined_behind_its_back() -> None:
    world = AdapterWorld()
    job = {"metadata": {"name": "trained", "namespace": NAMESPACE}, "spec": {}}
    uid = world.client.seed(TRAINING_JOBS, job)["metadata"]["uid"]
    await world.create(source={"trainingJob": "trained", "trainingJobUid": uid}, digest=DIGEST)
    await world.settle()
    assert (world.phase(), world.names(JOBS)) == ("Pending", [])
    ended = {"type": "Complete", "status": "True", "reason": "Succeeded", "lastTransitionTime": world.stamp()}
    world.client.seed(TRAINING_JOBS, {**job, "status": {"conditions": [ended]}})
    await world.settle()
    assert request(world)["digest"] == DIGEST


async def test_a_version_that_is_published_while_it_is_looked_at_is_not_examined() -> None:
    """Between the reads of Adapter and job, the run's end wrote the one and then the other."""
    world = AdapterWorld()
    job = {"metadata": {"name": "trained", "namespace": NAMESPACE}, "spec": {}}
    uid = world.client.seed(TRAINING_JOBS, job)["metadata"]["uid"]
    await world.create(source={"trainingJob": "trained", "trainingJobUid": uid}, digest=DIGEST)
    read = world.client.get

    async def read_late(kind: ResourceKind, name: str, namespace: str) -> Manifest:
        if kind == TRAINING_JOBS:
            await world.client.apply_status(ADAPTERS, "demo", NAMESPACE, {"path": "p", "digest": DIGEST}, "test")
            ended = {"type": "Complete", "status": "True", "reason": "Succeeded", "lastTransitionTime": world.stamp()}
            world.client.seed(TRAINING_JOBS, {**job, "status": {"conditions": [ended]}})
        return await read(kind, name, namespace)

    with patch.object(world.client, "get", read_late), pytest.raises(ConflictError):
        await world.controller.look(Look("Adapter", NAMESPACE, "demo"))
    assert world.names(JOBS) == []


async def test_going_back_to_an_older_version_is_one_patch() -> None:
    world = AdapterWorld()
    await world.create(source={"trainingJob": "second"}, digest=DIGEST)
    await world.settle()
    world.examined(report())
    await world.settle()
    await world.edit(source={"trainingJob": "first"}, digest=OTHER_DIGEST)
    await world.settle()
    assert (request(world)["path"], request(world)["digest"]) == (place(digest=OTHER_DIGEST), OTHER_DIGEST)
    world.advance(5)
    world.examined(report(digest=OTHER_DIGEST))
    await world.settle()
    assert world.status()["digest"] == OTHER_DIGEST


async def test_without_the_claim_the_command_is_told() -> None:
    world = AdapterWorld(has_claim=False)
    await world.create()
    await world.settle()
    assert world.condition("ArtifactReady") == ("Unknown", "WorkspaceMissing")
    assert "kubectl apply" in world.status()["message"]
    assert world.names(JOBS) == []


async def test_a_job_that_the_api_server_refuses_is_told() -> None:
    world = AdapterWorld()
    await world.create()
    for error in (ApiError(403, "Forbidden", "exceeded quota"), InvalidError(422, "Invalid", "bad field")):
        world.client.fail_next("create", error, JOBS)
        await world.controller.look(Look("Adapter", NAMESPACE, "demo"))
        assert world.condition("ArtifactReady") == ("Unknown", "CreateForbidden")
        assert str(error) in world.status()["message"]


async def test_a_base_model_that_does_not_fit_is_a_failure() -> None:
    world = AdapterWorld()
    await world.create()
    await world.settle()
    world.examined(report(compatibility={"reason": "BaseModelMismatch", "message": "layer 'x'"}))
    await world.settle()
    assert (world.phase(), world.condition("Compatible")) == ("Failed", ("False", "BaseModelMismatch"))


async def test_what_no_engine_serves_is_available_all_the_same() -> None:
    world = AdapterWorld()
    await world.create()
    await world.settle()
    world.examined(report(compatibility={"reason": "NotServable", "message": "use_dora is set"}))
    await world.settle()
    assert (world.phase(), world.condition("Compatible")) == ("Available", ("False", "NotServable"))


async def test_an_operator_that_dies_between_any_two_steps_loses_nothing() -> None:
    """After each call to the API server, in turn, the operator is gone and another one comes."""
    for step in range(12):
        world = AdapterWorld()
        await world.create()
        verbs = ("create", "apply_status", "delete")
        world.client.fail_next(verbs[step % 3], ApiError(503, "Gone", "the operator died"), after=step % 2 == 0)
        for _ in range(3):
            try:
                await world.settle()
            except ApiError:
                world.new_controller()
            if world.names(JOBS) and not any(job.get("status") for job in world.client.items(JOBS)):
                world.examined(report())
        await world.settle()
        assert world.phase() == "Available", step
        assert (world.names(JOBS), world.names(ADAPTERS)) == ([], ["demo"])
