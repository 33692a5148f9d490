"""A TrainingJob becomes an Adapter on a real kubelet, by kubectl and by HTTP, under Pod Security `restricted`."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.e2e.installation import DATASET_PATH, MODEL_PATH, Installation, training_job
from tests.e2e.outcomes import weights

pytestmark = pytest.mark.timeout(1200)

UNDISTURBED = "undisturbed"
STEPS = 400
LOAD_IN_PEFT = """
import sys
from peft import PeftModel
from transformers import AutoModelForCausalLM
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(sys.argv[1]), sys.argv[2])
moved = sum(float(weight.abs().sum()) for name, weight in model.named_parameters() if "lora_B" in name)
assert moved > 0, "the adapter is as it was before training"
print("loaded")
"""


Rows = list[dict[str, str]]


@pytest.fixture(scope="module")
def watched(installation: Installation) -> Rows:
    """What `kubectl get tj` showed of a job, from its apply to its undisturbed end."""
    rows: Rows = []
    job = installation.apply(training_job(UNDISTURBED, STEPS, preflight="always"))

    def has_ended() -> bool:
        header, line = installation.kubectl("get", "tj", job).splitlines()
        row = dict(zip(header.split(), line.split(), strict=False))
        if row not in rows:
            rows.append(row)
        return row["PHASE"] in ("Succeeded", "Failed")

    installation.wait("the job has ended", has_ended, seconds=300)
    assert rows[-1]["PHASE"] == "Succeeded", installation.story()
    return rows


@pytest.fixture(scope="module")
def trained(watched: Rows) -> str:
    """The name of that job."""
    return watched[-1]["NAME"]


def test_kubectl_shows_step_and_loss_while_a_job_runs(watched: Rows) -> None:
    running = [row for row in watched if row["PHASE"] == "Running" and "." in row.get("LOSS", "")]
    assert len({row["STEP"] for row in running}) >= 3
    assert len({row["LOSS"] for row in running}) >= 3
    assert float(running[-1]["LOSS"]) < float(running[0]["LOSS"])


def test_phases_follow_one_another(watched: Rows) -> None:
    phases = [row["PHASE"] for row in watched if "PHASE" in row and row["PHASE"][0].isalpha()]
    assert list(dict.fromkeys(phases)) == [
        phase for before, phase in zip(["", *phases], phases, strict=False) if phase != before
    ]


def test_an_applied_job_leaves_an_adapter(installation: Installation, trained: str) -> None:
    status = installation.status(trained)
    adapter = installation.get("adapter", trained)
    assert adapter
    assert adapter["spec"]["digest"] == status["output"]["digest"]
    assert adapter["status"]["phase"] == "Available"
    assert trained in installation.kubectl("get", "adapters")
    assert (installation.workspace / status["output"]["path"] / "adapter_model.safetensors").is_file()
    assert status["progress"]["step"] == STEPS


def test_a_preflight_ran_before_it_and_what_it_estimated_stands_beside_what_was_measured(
    installation: Installation, trained: str
) -> None:
    runs = {run["metadata"]["name"] for run in installation.of_job("jobs", trained)}
    assert runs == {f"{trained}-a0", f"{trained}-a1"}
    estimate = installation.status(trained)["resolved"]["estimate"]
    assert estimate["memory"]["expectedBytes"] > 0
    assert estimate["measured"]["peakMemoryBytes"] > 0


def test_what_a_preflight_finds_ends_the_job_before_it_runs(installation: Installation) -> None:
    spec = {"adapter": {"type": "lora", "rank": 4, "targetModules": ["query"]}, "preflight": "always"}
    job = installation.apply(training_job("hopeless", **spec))
    status = installation.wait_for_phase(job, "Failed")
    assert status["reason"] == "ConfigurationInvalid"
    assert "spec.adapter.targetModules" in status["failure"]["message"]
    assert [run["metadata"]["name"] for run in installation.of_job("jobs", job)] == [f"{job}-a0"]


def test_kubectl_logs_shows_what_the_trainer_wrote(installation: Installation, trained: str) -> None:
    log = installation.kubectl("logs", f"job/{trained}-a1")
    assert "published: adapters/" in log


def test_the_same_job_by_http(installation: Installation, trained: str, tmp_path: Path) -> None:
    config = {"base_model": MODEL_PATH, "dataset_path": DATASET_PATH, "num_epochs": 3, "lora_rank": 4, "eval_split": 0}
    with installation.http(port=3000) as root, installation.http() as main:
        answer = root.post("/api/training/jobs", json=config)
        assert answer.status_code == 201, answer.text
        job = answer.json()["job_id"]
        path = f"/ainode/api/training/jobs/{job}"
        installation.wait(
            "the job is completed",
            lambda: main.get(path).json()["status"] not in ("pending", "running"),
            seconds=300,
        )
        assert main.get(path).json()["status"] == "completed", installation.story()
        assert "published: adapters/" in str(main.get(f"{path}/logs").json())
        files = main.get(f"{path}/output").json()["files"]
        for file in files:
            content = main.get(f"{path}/output/{file['name']}")
            assert content.status_code == 200
            (tmp_path / file["name"]).write_bytes(content.content)
    assert "adapter_model.safetensors" in {file["name"] for file in files}
    model = installation.workspace / MODEL_PATH
    loaded = subprocess.run([sys.executable, "-c", LOAD_IN_PEFT, model, tmp_path], capture_output=True, text=True)
    assert loaded.returncode == 0, loaded.stderr


def test_an_evicted_run_continues_to_the_same_adapter(installation: Installation, trained: str) -> None:
    job = installation.apply(training_job("evicted", STEPS))
    installation.wait("a checkpoint is known", lambda: installation.status(job).get("checkpoints"))
    [pod] = installation.of_job("pods", job)
    name = pod["metadata"]["name"]
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    path = f"/api/v1/namespaces/{pod['metadata']['namespace']}/pods/{name}/eviction"
    installation.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    status = installation.wait_for_phase(job, "Succeeded", 300)
    assert status["attempts"]["preemptions"] >= 1
    assert status["attempts"].get("failures", 0) == 0
    log = next((installation.workspace / "jobs").glob(f"{job}-*/log.txt")).read_text()
    assert "resuming from" in log
    assert weights(installation, job) == weights(installation, trained)


def test_a_suspended_run_goes_on_from_where_it_was(installation: Installation, trained: str) -> None:
    job = installation.apply(training_job("suspended", STEPS))
    installation.wait("it makes steps", lambda: installation.step(job) > 0)
    installation.patch(job, suspend=True)
    installation.wait_for_phase(job, "Suspended")
    assert installation.of_job("pods", job) == []
    installation.patch(job, suspend=False)
    installation.wait_for_phase(job, "Succeeded", 300)
    assert weights(installation, job) == weights(installation, trained)


def test_a_cancelled_run_ends_and_leaves_no_pod(installation: Installation) -> None:
    job = installation.apply(training_job("cancelled", 100_000))
    installation.wait("it makes steps", lambda: installation.step(job) > 0)
    installation.patch(job, cancel=True)
    installation.wait_for_phase(job, "Cancelled")
    installation.wait("no pod is left", lambda: not installation.of_job("pods", job))
    assert installation.get("adapter", job) is None


def test_a_killed_operator_changes_nothing(installation: Installation, trained: str) -> None:
    job = installation.apply(training_job("orphaned", STEPS))
    installation.wait("it makes steps", lambda: installation.step(job) > 0)
    leader = installation.leader()
    installation.kubectl("delete", "pod", leader, "--grace-period=0", "--force")
    installation.wait_for_phase(job, "Succeeded", 300)
    assert installation.leader() != leader
    assert [run["metadata"]["name"] for run in installation.of_job("jobs", job)] == [f"{job}-a1"]
    assert [adapter["metadata"]["name"] for adapter in installation.of_job("adapters", job)] == [job]
    assert weights(installation, job) == weights(installation, trained)


def test_deleting_a_job_collects_its_children_and_keeps_the_adapter(installation: Installation, trained: str) -> None:
    output = installation.status(trained)["output"]
    assert installation.of_job("configmaps", trained)
    installation.kubectl("delete", "trainingjob", trained)
    for kind in ("jobs", "pods", "configmaps"):
        installation.wait(f"no {kind} are left", partial(_has_none, installation, kind, trained))
    adapter = installation.get("adapter", trained)
    assert adapter
    assert adapter["spec"]["digest"] == output["digest"]
    assert (installation.workspace / output["path"]).is_dir()


def _has_none(installation: Installation, kind: str, job: str) -> bool:
    return installation.of_job(kind, job) == []
