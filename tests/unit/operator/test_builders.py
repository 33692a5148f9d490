"""Manifests against goldens. `FETTLE_UPDATE_GOLDENS=1` writes them anew; read the difference before you keep it."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from fettle_operator.builders import (
    build_adapter,
    build_config_map,
    build_examination_job,
    build_job,
    build_run_config,
    build_service,
    config_digest,
)
from fettle_schema.adapter import AdapterBaseModel
from fettle_schema.artifact import ArtifactRequest
from fettle_schema.manifests import dump_manifest, load_manifests
from fettle_schema.run import RunConfig
from fettle_schema.status import OutputStatus
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.validation import admit
from tests.support.fake_kubelet import DIGEST, settings, training_job

GOLDENS = Path(__file__).parent / "goldens"
UID = "1a2b3c4d-0000-4000-8000-000000000000"

SMALL: dict[str, Any] = {}
LARGE: dict[str, Any] = {
    "baseModel": {"id": "acme/large", "revision": "v1"},
    "resources": {"gpusPerNode": 4, "nodes": 2, "cpu": "16", "memory": "200Gi", "sharedMemory": "8Gi"},
    "runtime": {
        "image": "registry.example/trainer:2",
        "command": ["python", "train.py"],
        "env": [{"name": "NCCL_DEBUG", "value": "INFO"}],
        "nodeSelector": {"gpu": "h200"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "affinity": {"nodeAffinity": {}},
        "runtimeClassName": "nvidia",
        "priorityClassName": "batch",
        "imagePullSecrets": [{"name": "registry"}],
        "terminationGracePeriodSeconds": 600,
    },
    "scheduling": {"kueueQueue": "team-a"},
    "credentials": {"secretName": "demo-credentials"},
    "output": {"adapterName": "large-helper"},
}


def admitted(spec: dict[str, Any]) -> tuple[dict[str, Any], TrainingJobSpec]:
    job = admit(training_job(**spec))
    job["metadata"]["uid"] = UID
    return job, TrainingJobSpec.model_validate(job["spec"])


def run_config(spec: dict[str, Any], attempt: int = 1, **sources: Any) -> RunConfig:
    job, parsed = admitted(spec)
    return build_run_config(job, parsed, attempt, grace_period_seconds=120, **sources)


@pytest.mark.parametrize(("name", "spec"), [("small", SMALL), ("large", LARGE)])
def test_manifests_are_as_their_goldens(name: str, spec: dict[str, Any]) -> None:
    job, parsed = admitted(spec)
    output = OutputStatus(kind="adapter", path="adapters/demo/abababababab", digest=DIGEST)
    manifests = [
        build_config_map(job, run_config(spec, 2)),
        build_service(job, 2),
        build_job(job, parsed, 2, settings()),
        build_adapter(job, parsed, output),
    ]
    path = GOLDENS / f"{name}.yaml"
    text = "---\n".join(dump_manifest(manifest) for manifest in manifests)
    if os.environ.get("FETTLE_UPDATE_GOLDENS"):
        path.write_text(text)
    assert manifests == load_manifests(path.read_text())


def test_without_a_receiver_there_is_no_token_and_no_url() -> None:
    job, parsed = admitted(SMALL)
    assert "progress" not in json.dumps(build_job(job, parsed, 1, settings(receiver_url=None)))


def test_only_a_command_of_its_own_is_told_how_transformers_reports() -> None:
    for command, is_told in ((["python", "train.py"], True), (None, False)):
        job, parsed = admitted({**SMALL, "runtime": {"command": command}})
        container = build_job(job, parsed, 1, settings())["spec"]["template"]["spec"]["containers"][0]
        values = {variable["name"]: variable["value"] for variable in container["env"]}
        told = {values.get("KUBEFLOW_TRAINER_SERVER_URL"), values.get("KUBEFLOW_TRAINER_SERVER_TOKEN")}
        assert (told == {values["FETTLE_PROGRESS_URL"], values["FETTLE_PROGRESS_TOKEN_FILE"]}) is is_told


def test_a_job_on_the_cpu_asks_for_no_gpu() -> None:
    job, parsed = admitted(SMALL)
    assert "nvidia.com" not in json.dumps(build_job(job, parsed, 1, settings()))


@pytest.mark.parametrize(("cpu", "threads"), [("4", "4"), ("2500m", "2"), ("500m", "1"), (None, "1")])
def test_threads_follow_the_cpus(cpu: str | None, threads: str) -> None:
    job, parsed = admitted({"resources": {"gpusPerNode": 0, "cpu": cpu}})
    container = build_job(job, parsed, 1, settings())["spec"]["template"]["spec"]["containers"][0]
    assert {"name": "OMP_NUM_THREADS", "value": threads} in container["env"]


def test_the_pod_is_restricted() -> None:
    job, parsed = admitted(LARGE)
    pod = build_job(job, parsed, 1, settings())["spec"]["template"]["spec"]
    security = pod["containers"][0]["securityContext"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["readOnlyRootFilesystem"] is True
    assert security["allowPrivilegeEscalation"] is False
    assert security["capabilities"] == {"drop": ["ALL"]}


@pytest.mark.parametrize(
    "given",
    [{}, {"nodeAffinity": {"x": 1}}, {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{"a": 1}]}}],
)
def test_a_claim_of_one_node_keeps_all_pods_that_mount_it_there(given: dict[str, Any]) -> None:
    """Each pod fits its own rule: otherwise the first of a namespace would wait for ever."""
    job, parsed = admitted({"runtime": {"affinity": given}})
    template = build_job(job, parsed, 1, settings(workspace_on_one_node=True))["spec"]["template"]
    *others, rule = template["spec"]["affinity"]["podAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert rule["topologyKey"] == "kubernetes.io/hostname"
    assert rule["labelSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    assert others == (given.get("podAffinity") or {}).get("requiredDuringSchedulingIgnoredDuringExecution", [])
    assert template["spec"]["affinity"].get("nodeAffinity") == given.get("nodeAffinity")


def test_a_claim_of_one_node_keeps_the_pod_that_examines_an_adapter_there() -> None:
    adapter = {"metadata": {"name": "a", "namespace": "team", "uid": UID}}
    request = ArtifactRequest(name="a", uid=UID, base_model=AdapterBaseModel(id="models/tiny"), path="adapters/a/1")
    for is_on_one_node in (True, False):
        wanted = settings(workspace_on_one_node=is_on_one_node)
        template = build_examination_job(adapter, request, wanted)["spec"]["template"]
        assert ("fettle.dev/mounts-workspace" in template["metadata"]["labels"]) is is_on_one_node
        assert ("affinity" in template["spec"]) is is_on_one_node


def test_a_claim_of_several_nodes_leaves_runs_where_the_job_wants_them() -> None:
    template = build_job(*admitted({}), 1, settings())["spec"]["template"]
    assert "affinity" not in template["spec"]
    assert "fettle.dev/mounts-workspace" not in template["metadata"]["labels"]


def test_only_a_single_pod_is_replaced_when_it_is_disrupted() -> None:
    single, several = (build_job(*admitted(spec), 1, settings())["spec"] for spec in (SMALL, LARGE))
    assert single["podFailurePolicy"]["rules"][0]["action"] == "Ignore"
    assert "podFailurePolicy" not in several
    assert several["completionMode"] == "Indexed"


def test_nothing_is_left_open_in_the_run_config() -> None:
    built = run_config(SMALL)
    assert built.hyperparameters.learning_rate is not None
    assert built.adapter.rank == 16
    assert built.directory == "jobs/demo-1a2b3c4d"


@pytest.mark.parametrize("spec", [SMALL, LARGE])
def test_the_digest_is_the_same_for_every_attempt(spec: dict[str, Any]) -> None:
    assert config_digest(run_config(spec, 1)) == config_digest(run_config(spec, 7))


def test_the_digest_changes_with_the_configuration() -> None:
    assert config_digest(run_config(SMALL)) != config_digest(run_config({"hyperparameters": {"seed": 7}}))


def test_a_job_starts_from_another_ones_checkpoint_or_from_an_adapter() -> None:
    source = {"metadata": {"name": "base", "uid": "99999999-0000"}}
    start = run_config({"startFrom": {"trainingJob": "base"}}, source_job=source).start
    assert start is not None
    assert (start.job_directory, start.checkpoint) == ("jobs/base-99999999", "latest")
    adapter = {"metadata": {"name": "helper"}, "spec": {"digest": DIGEST}}
    start = run_config({"startFrom": {"adapter": "helper"}}, source_adapter=adapter).start
    assert start is not None
    assert start.adapter_path == "adapters/helper/abababababab"
