from typing import Any

import pytest

from fettle_api.errors import CheckpointNotFoundError, JobStateError, NothingToMergeError
from fettle_api.jobs.derived_jobs import check_merge, choose_checkpoint, merge_spec, resumed_spec
from fettle_api.resources.models import CheckpointView, JobView
from fettle_api.resources.views import view_job
from fettle_schema.validation import admit

SPEC: dict[str, Any] = {
    "method": "dpo",
    "baseModel": {"id": "a/b", "revision": "main"},
    "dataset": {"source": {"workspace": {"path": "datasets/d", "version": "v2"}}, "evaluation": {"fraction": 0.1}},
    "adapter": {"type": "qlora", "rank": 4},
    "hyperparameters": {"epochs": 2, "beta": 0.2},
    "startFrom": {"adapter": "older"},
    "output": {"adapterName": "mine", "onConflict": "newVersion", "push": {"repository": "acme/x"}},
    "resources": {"gpusPerNode": 2, "nodes": 2, "memory": "8Gi"},
    "runtime": {"nodeSelector": {"disk": "fast"}},
    "scheduling": {"queue": "team"},
    "credentials": {"secretName": "source-credentials"},
    "webhook": {"url": "https://example.com/hook"},
    "suspend": True,
    "cancel": True,
}
CHECKPOINTS = [CheckpointView(f"checkpoint-{step}", step, f"p/checkpoint-{step}") for step in (100, 50)]


def job(phase: str = "Succeeded", spec: dict[str, Any] | None = None, output: dict[str, Any] | None = None) -> JobView:
    metadata = {"name": "source", "uid": "u", "creationTimestamp": "2026-01-01T12:00:00Z"}
    status = {"phase": phase, **({"output": output} if output else {})}
    return view_job({"metadata": metadata, "spec": spec or SPEC, "status": status})


def admitted(spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "new", "namespace": "default"}
    manifest = {"apiVersion": "fettle.dev/v1alpha1", "kind": "TrainingJob", "metadata": metadata, "spec": spec}
    found: dict[str, Any] = admit(manifest)["spec"]
    return found


def test_a_resumed_job_is_its_source_but_for_its_output() -> None:
    spec = resumed_spec(job(), "checkpoint-50")
    assert spec["startFrom"] == {"trainingJob": "source", "checkpoint": "checkpoint-50"}
    assert "adapterName" not in spec["output"]
    assert spec["output"]["push"]["repository"] == "acme/x"
    changed = {"startFrom", "output", "suspend", "cancel"}
    before = admitted(SPEC)
    after = admitted(spec)
    assert {name: after[name] for name in after.keys() - changed} == {
        name: before[name] for name in before.keys() - changed
    }
    assert (after["suspend"], after["cancel"]) == (False, False)
    assert resumed_spec(job(), None)["startFrom"]["checkpoint"] == "latest"


def test_a_merge_has_the_model_and_the_pods_of_its_source_and_no_gpu() -> None:
    spec = admitted(merge_spec(job()))
    assert spec["method"] == "merge"
    assert spec["startFrom"] == {"trainingJob": "source"}
    assert spec["baseModel"] == {"id": "a/b", "revision": "main"}
    assert (spec["resources"]["gpusPerNode"], spec["resources"]["nodes"]) == (0, 1)
    assert spec["resources"]["memory"] == "8Gi"
    assert spec["credentials"] == {"secretName": "source-credentials"}
    assert spec["runtime"]["nodeSelector"] == {"disk": "fast"}
    assert spec["scheduling"]["queue"] == "team"
    assert "dataset" not in spec
    assert spec["output"].get("push") is None


@pytest.mark.parametrize("phase", ["Succeeded", "Failed", "Cancelled"])
def test_a_job_that_has_ended_can_be_resumed(phase: str) -> None:
    assert choose_checkpoint(job(phase), CHECKPOINTS, None).name == "checkpoint-100"
    assert choose_checkpoint(job(phase), CHECKPOINTS, "checkpoint-50").step == 50


@pytest.mark.parametrize("phase", ["Pending", "Queued", "Starting", "Running", "Suspended"])
def test_others_cannot(phase: str) -> None:
    with pytest.raises(JobStateError):
        choose_checkpoint(job(phase), CHECKPOINTS, None)
    with pytest.raises(JobStateError):
        check_merge(job(phase))


def test_a_checkpoint_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(CheckpointNotFoundError) as caught:
        choose_checkpoint(job(), CHECKPOINTS, "checkpoint-7")
    assert caught.value.available == ["checkpoint-100", "checkpoint-50"]
    with pytest.raises(CheckpointNotFoundError) as caught:
        choose_checkpoint(job(), [], None)
    assert caught.value.available == []


@pytest.mark.parametrize("phase", ["Failed", "Cancelled"])
def test_only_a_completed_job_is_merged(phase: str) -> None:
    with pytest.raises(JobStateError):
        check_merge(job(phase))


def test_there_must_be_an_adapter_to_merge() -> None:
    adapter = {"kind": "adapter", "path": "adapters/mine/0123", "digest": "sha256:0"}
    assert check_merge(job(output=adapter)) == "adapters/mine/0123"
    with pytest.raises(NothingToMergeError):
        check_merge(job(output={**adapter, "kind": "model"}))
    with pytest.raises(NothingToMergeError):
        check_merge(job(spec={"baseModel": {"id": "a/b"}, "adapter": {"type": "none"}}))
