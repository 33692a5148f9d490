"""Reading pod manifests: those that the operator builds are understood whole, anything else is refused by name."""

from typing import Any

import pytest

from fettle_client.protocol import Manifest
from fettle_local.runner.pod_template import UnschedulableError, UnsupportedPodError, container_run, rewrite_path
from fettle_operator.builders import build_job
from fettle_operator.settings import OperatorSettings
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.validation import admit
from tests.support.manifest_cases import GOOD_JOB, changed

SETTINGS = OperatorSettings(trainer_image="local")


def pod(change: dict[str, Any] | None = None) -> Manifest:
    job = admit(changed(GOOD_JOB, change or {}))
    job["metadata"] = {"name": "demo", "namespace": "default", "uid": "0123456789abcdef"}
    template: Manifest = build_job(job, TrainingJobSpec.model_validate(job["spec"]), 1, SETTINGS)["spec"]["template"]
    return {"metadata": template["metadata"], "spec": template["spec"]}


def test_what_the_operator_builds_is_understood() -> None:
    run = container_run(pod())
    assert run.command == ["python", "-m", "fettle_trainer", "/etc/fettle/run.json"]
    assert run.env["FETTLE_WORKSPACE"] == "/workspace"
    assert run.termination_message_path == "/dev/termination-log"
    assert run.gpus == 0
    volumes = {volume.mount_path: (volume.kind, volume.source) for volume in run.volumes}
    assert volumes["/workspace"] == ("persistentVolumeClaim", "fettle-workspace")
    assert volumes["/etc/fettle"] == ("configMap", "demo-a1")
    assert volumes["/tmp"] == ("emptyDir", "")


def test_every_choice_of_runtime_is_understood() -> None:
    runtime = {
        "env": [{"name": "A", "value": "/workspace/a"}, {"name": "B", "value": "$(A)/b"}],
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "x", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "runtimeClassName": "nvidia",
        "priorityClassName": "high",
        "imagePullSecrets": [{"name": "registry"}],
        "terminationGracePeriodSeconds": 7,
    }
    change = {"runtime": runtime, "resources": {"gpusPerNode": 2}, "credentials": {"secretName": "tokens"}}
    run = container_run(pod({"spec": change}))
    assert run.env["B"] == "/workspace/a/b"
    assert run.grace_seconds == 7
    assert run.gpus == 2
    assert run.secrets == [("tokens", False)]


def test_several_nodes_are_for_a_cluster() -> None:
    with pytest.raises(UnschedulableError, match=r"spec\.resources\.nodes"):
        container_run(pod({"spec": {"resources": {"nodes": 2}}}))


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"hostNetwork": True}, "spec.hostNetwork"),
        ({"volumes": [{"name": "x", "hostPath": {"path": "/"}}]}, "spec.volumes[0].hostPath"),
        ({"containers": []}, "spec.containers"),
        ({"restartPolicy": "OnFailure"}, "spec.restartPolicy"),
        ({"container": {"command": None}}, "spec.containers[0].command"),
        ({"container": {"livenessProbe": {"x": 1}}}, "spec.containers[0].livenessProbe"),
        ({"container": {"env": [{"name": "A", "valueFrom": {"x": 1}}]}}, "spec.containers[0].env[0].valueFrom"),
        ({"container": {"envFrom": [{"configMapRef": {"name": "c"}}]}}, "spec.containers[0].envFrom[0].configMapRef"),
        ({"container": {"resources": {"limits": {"hugepages-2Mi": "1"}}}}, "hugepages-2Mi"),
    ],
)
def test_the_unknown_is_refused_by_name(change: dict[str, Any], field: str) -> None:
    manifest = pod()
    container = change.pop("container", {})
    manifest["spec"]["containers"][0] |= container
    manifest["spec"] |= change
    with pytest.raises(UnsupportedPodError) as refused:
        container_run(manifest)
    assert field in str(refused.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/workspace", "/home/w"),
        ("/workspace/a/b", "/home/w/a/b"),
        ("/workspaces", "/workspaces"),
        ("/workspace/deep/x", "/elsewhere/x"),
        ("see /workspace", "see /workspace"),
        ("", ""),
    ],
)
def test_paths_below_a_mount_are_rewritten(text: str, expected: str) -> None:
    assert rewrite_path(text, {"/workspace": "/home/w", "/workspace/deep": "/elsewhere"}) == expected
