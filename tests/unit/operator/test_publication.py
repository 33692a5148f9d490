"""What comes out of a run: an Adapter, a new version of one, a model, or a conflict."""

from typing import Any

import pytest

from fettle_client.protocol import ADAPTERS, JOBS, TRAINING_JOBS
from tests.support.fake_kubelet import DIGEST, NAMESPACE, OTHER_DIGEST, World, run_result


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


SCORES = {
    "n": 8,
    "seed": 42,
    "promptsDigest": "sha256:p",
    "coherence": 0.8,
    "coherenceLow": 0.7,
    "coherenceHigh": 0.9,
    "baseCoherence": 0.4,
}


@pytest.mark.parametrize(("digest", "is_told"), [(OTHER_DIGEST, True), (DIGEST, False)])
async def test_a_benchmark_tells_the_adapter_that_it_was_about_and_no_other_version(digest: str, is_told: bool) -> None:
    world = World()
    adapter = _foreign_adapter()
    world.client.seed(ADAPTERS, {**adapter, "status": {"digest": OTHER_DIGEST, "path": "adapters/demo/cd", "rank": 8}})
    await world.submit("scores", method="benchmark", startFrom={"adapter": "demo"}, preflight="skip")
    await world.settle()
    output = {"kind": "report", "path": "jobs/scores-1", "digest": DIGEST}
    metrics = {**SCORES, "trainedDigest": digest}
    world.pod_ends(0, run_result(output=output, metrics=metrics), job="scores")
    await world.settle()
    assert world.phase("scores") == "Succeeded"
    told = world.adapter()
    assert told is not None
    status = told["status"]
    assert (status["digest"], status["rank"]) == (OTHER_DIGEST, 8)
    benchmark = (status.get("provenance") or {}).get("benchmark")
    if not is_told:
        assert benchmark is None
        return
    assert benchmark["scores"] == {"coherence": {"value": 0.8, "low": 0.7, "high": 0.9, "base": 0.4}}
    assert (benchmark["trainingJob"], benchmark["n"]) == ("scores", 8)
    calls = len([call for call in world.client.calls if call.verb == "apply_status" and call.kind == "Adapter"])
    assert calls == 1


async def test_what_no_engine_serves_is_known_from_the_jobs_spec() -> None:
    world = World()
    await world.submit(adapter={"useDora": True})
    await world.settle()
    world.pod_ends(0, run_result())
    await world.settle()
    adapter = world.adapter()
    assert adapter is not None
    conditions = {c["type"]: (c["status"], c["reason"]) for c in adapter["status"]["conditions"]}
    assert conditions == {
        "ArtifactReady": ("True", "Published"),
        "Compatible": ("False", "NotServable"),
        "Loaded": ("False", "NotRequested"),
    }
    assert adapter["status"]["phase"] == "Available"


async def test_a_new_version_leaves_said_what_engines_have_of_the_old_one() -> None:
    world = World()
    foreign = _foreign_adapter()
    loaded = {"type": "Loaded", "status": "True", "reason": "Loaded", "lastTransitionTime": world.stamp()}
    instances = [{"pod": "engine-0", "podUid": "u", "path": "/workspace/adapters/demo/cd"}]
    foreign["status"] = {"digest": OTHER_DIGEST, "conditions": [loaded], "instances": instances, "readyPods": "1/1"}
    world.client.seed(ADAPTERS, foreign)
    await world.submit(output={"onConflict": "newVersion"})
    await world.settle()
    world.pod_ends(0, run_result())
    await world.settle()
    adapter = world.adapter()
    assert adapter is not None
    assert adapter["status"]["instances"][0]["pod"] == "engine-0"
    assert adapter["status"]["phase"] == "Loading"
    assert "verifiedAt" not in adapter["status"]
