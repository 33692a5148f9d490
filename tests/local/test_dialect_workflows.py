"""One whole workflow a dialect, as its document tells it: submit, follow, finish, load what came out in plain PEFT."""

import io
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.local_home import job_log, make_home, running_up
from tests.support.tiny_model import build_tiny_model
from tests.support.training_data import pair_rows

pytestmark = [pytest.mark.trainer, pytest.mark.slow, pytest.mark.timeout(1200)]

STEPS = 6
MODEL = "models/tiny"
PATIENCE_SECONDS = 300


@dataclass
class Followed:
    """A job, as its dialect told of it until it ended."""

    answers: list[dict[str, Any]] = field(default_factory=list)

    @property
    def statuses(self) -> list[str]:
        """Each once, in order."""
        return list(dict.fromkeys(answer["status"] for answer in self.answers))

    @property
    def last(self) -> dict[str, Any]:
        """The last answer."""
        return self.answers[-1]


@dataclass(frozen=True)
class Installation:
    """`fettle up`, and a client for each dialect."""

    workspace: Path
    urls: dict[str, str]

    def call(self, dialect: str, method: str, path: str, expected: int = 200, **content: Any) -> Any:
        """The JSON of an answer."""
        answer = self.request(dialect, method, path, **content)
        assert answer.status_code == expected, answer.text
        return answer.json()

    def request(self, dialect: str, method: str, path: str, **content: Any) -> httpx.Response:
        return httpx.request(method, f"{self.urls[dialect]}{path}", timeout=60, **content)

    def follow(self, ask: Callable[[], dict[str, Any]], ends: tuple[str, ...]) -> Followed:
        """Ask until the job has ended."""
        followed, deadline = Followed(), time.monotonic() + PATIENCE_SECONDS
        while not followed.answers or followed.last["status"] not in ends:
            assert time.monotonic() < deadline, followed.last
            time.sleep(0.1)
            followed.answers.append(ask())
        return followed


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    directory = tmp_path_factory.mktemp("workflows")
    home = make_home(directory / "home", build_tiny_model(directory / "tiny"))
    workspace = home / "workspace"
    pairs = [
        {"prompt": row["prompt"][0]["content"], **{side: row[side][0]["content"] for side in ("chosen", "rejected")}}  # type: ignore[index]
        for row in pair_rows(16)
    ]
    write_rows(workspace / "datasets/pairs/train.jsonl", pairs)
    write_rows(workspace / "datasets/kubectl/v1.0/data.jsonl", [{"text": f"kubectl get pod {n}"} for n in range(16)])
    settings = {
        "FETTLE_API_MODEL_ALIASES": json.dumps({"llama-3.2-3b": MODEL}),
        "FETTLE_API_DATASET_ALIASES": json.dumps({"v1.0": "datasets/kubectl/v1.0"}),
    }
    with running_up(home, "ainode", "cluster", "qlora", "milady", "merlina", **settings) as urls:
        yield Installation(workspace, {**urls, "openai": f"{urls['main']}/v1"})


def write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True)
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))


def told(installation: Installation, followed: Followed) -> str:
    return f"{followed.last}\n{job_log(installation.workspace.parent)}"


def assert_loads(workspace: Path, adapter: Path) -> None:
    """Plain PEFT takes it, and it is not as it was before training."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(workspace / MODEL), adapter)
    moved = sum(float(weight.abs().sum()) for name, weight in model.named_parameters() if "lora_B" in name)
    assert moved > 0


def test_ainode(installation: Installation, tmp_path: Path) -> None:
    config = {"base_model": MODEL, "dataset_path": "tiny", "num_epochs": 1, "batch_size": 4, "max_seq_length": 128}
    job_id = installation.call("ainode", "POST", "/api/training/jobs", 201, json=config)["job_id"]
    path = f"/api/training/jobs/{job_id}"
    followed = installation.follow(
        lambda: installation.call("ainode", "GET", path), ("completed", "failed", "cancelled")
    )
    assert followed.last["status"] == "completed", told(installation, followed)
    assert followed.statuses[-2:] == ["running", "completed"]
    assert followed.last["progress"] == 100
    output = installation.call("ainode", "GET", f"{path}/output")
    for file in output["files"]:
        content = installation.request("ainode", "GET", f"{path}/output/{file['name']}").content
        assert len(content) == file["size_bytes"]
        (tmp_path / file["name"]).write_bytes(content)
    assert_loads(installation.workspace, tmp_path)
    logs = installation.call("ainode", "GET", f"{path}/logs?tail=500")["logs"]
    assert any("AINODE_PROGRESS:" in line for line in logs)


def test_cluster(installation: Installation) -> None:
    config = {
        "model_name": MODEL,
        "dataset_version": "v1.0",
        "training_type": "pt",
        "num_epochs": 1,
        "cutoff_len": 128,
        "batch_size": 4,
        "lora_name": "cluster-adapter",
    }
    started = installation.call("cluster", "POST", "/train", json=config)
    assert started["status"] == "started"
    path = f"/train/{started['job_id']}"
    followed = installation.follow(
        lambda: installation.call("cluster", "GET", path), ("completed", "failed", "cancelled")
    )
    assert followed.last["status"] == "completed", told(installation, followed)
    assert followed.last["start_time"] > 0
    assert_loads(installation.workspace, installation.workspace / followed.last["output_path"])


def test_qlora(installation: Installation) -> None:
    texts = [f"### Instruction:\nshow pod {n}\n\n### Response:\nkubectl get pod {n}" for n in range(16)]
    body = {"model_name": MODEL, "train_texts": texts, "training_config": {"max_steps": STEPS, "logging_steps": 1}}
    job_id = installation.call("qlora", "POST", "/api/training/start", json=body)["job_id"]
    followed = installation.follow(
        lambda: installation.call("qlora", "GET", f"/api/training/status/{job_id}"),
        ("completed", "failed", "cancelled"),
    )
    assert followed.last["status"] == "completed", told(installation, followed)
    assert (followed.last["current_step"], followed.last["progress"]) == (STEPS, 100.0)
    adapter = installation.call("qlora", "GET", f"/api/adapters/{job_id}")
    assert adapter["metrics"]["training_steps"] == STEPS
    assert_loads(installation.workspace, installation.workspace / adapter["path"])


def test_milady(installation: Installation) -> None:
    calls = [
        {"systemPrompt": "You help people.", "userPrompt": f"please show pod {n}", "response": f"kubectl get pod {n}"}
        for n in range(16)
    ]
    for number, call in enumerate(calls):
        trajectory = {"id": f"trajectory-{number}", "source": "chat", "status": "completed", "llmCalls": [call]}
        installation.request("milady", "POST", "/api/training/trajectories", json=trajectory).raise_for_status()
    dataset = installation.call("milady", "POST", "/api/training/datasets/build", 201, json={"limit": 100})["dataset"]
    assert dataset["exampleCount"] == 16
    options = {"datasetId": dataset["id"], "backend": "cpu", "model": "llama-3.2-3b", "iterations": STEPS}
    job = installation.call("milady", "POST", "/api/training/jobs", 201, json=options)["job"]
    followed = installation.follow(
        lambda: installation.call("milady", "GET", f"/api/training/jobs/{job['id']}")["job"],
        ("completed", "failed", "cancelled"),
    )
    assert followed.last["status"] == "completed", told(installation, followed)
    assert followed.last["progress"] == 1.0
    models = installation.call("milady", "GET", "/api/training/models")["models"]
    (model,) = [model for model in models if model["jobId"] == job["id"]]
    assert_loads(installation.workspace, installation.workspace / model["adapterPath"])


def test_merlina(installation: Installation) -> None:
    dataset = {
        "source": {"source_type": "local_file", "file_path": "pairs/train.jsonl", "file_format": "jsonl"},
        "format": {"format_type": "chatml"},
        "test_size": 0.2,
    }
    config = {
        "base_model": MODEL,
        "output_name": "merlina-adapter",
        "num_epochs": 1,
        "gradient_accumulation_steps": 4,
        "max_length": 512,
        "max_prompt_length": 256,
        "learning_rate": 1e-3,
        "use_4bit": False,
        "use_wandb": False,
        "dataset": dataset,
    }
    validation = installation.call("merlina", "POST", "/validate", json=config)
    assert validation["valid"], validation
    job_id = installation.call("merlina", "POST", "/train?priority=high", json=config)["job_id"]
    followed = installation.follow(
        lambda: installation.call("merlina", "GET", f"/status/{job_id}"), ("completed", "failed", "stopped")
    )
    assert followed.last["status"] == "completed", told(installation, followed)
    assert followed.last["progress"] == 1.0
    metrics = installation.call("merlina", "GET", f"/jobs/{job_id}/metrics")
    assert metrics["count"] == len(metrics["metrics"]) > 0
    (row,) = [row for row in installation.call("merlina", "GET", "/jobs/history")["jobs"] if row["job_id"] == job_id]
    assert_loads(installation.workspace, installation.workspace / row["output_dir"])


def test_openai(installation: Installation) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"show {n}"}, {"role": "assistant", "content": f"kubectl get {n}"}]}
        for n in range(16)
    ]
    file = io.BytesIO("".join(f"{json.dumps(row)}\n" for row in rows).encode())
    uploaded = installation.call(
        "openai", "POST", "/files", files={"file": ("train.jsonl", file)}, data={"purpose": "fine-tune"}
    )
    method = {"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1, "batch_size": 4}}}
    body = {"model": MODEL, "training_file": uploaded["id"], "method": method, "suffix": "kube", "seed": 7}
    job = installation.call("openai", "POST", "/fine_tuning/jobs", json=body)
    followed = installation.follow(
        lambda: installation.call("openai", "GET", f"/fine_tuning/jobs/{job['id']}"),
        ("succeeded", "failed", "cancelled"),
    )
    assert followed.last["status"] == "succeeded", told(installation, followed)
    assert "kube" in followed.last["fine_tuned_model"]
    events = installation.call("openai", "GET", f"/fine_tuning/jobs/{job['id']}/events")["data"]
    assert any(event["type"] == "metrics" for event in events)
    (result,) = followed.last["result_files"]
    assert b"train_loss" in installation.request("openai", "GET", f"/files/{result}/content").content
    adapters = [path.parent for path in installation.workspace.glob("adapters/*/*/adapter_config.json")]
    newest = max(adapters, key=lambda path: path.stat().st_mtime)
    assert_loads(installation.workspace, newest)
