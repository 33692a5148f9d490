"""Real training runs of a tiny model through `fettle run`: one to its end, one killed mid-way and started again."""

import signal
import time
from pathlib import Path

import pytest

from fettle_schema.manifests import dump_manifest
from tests.support.local_home import fettle, get, job_log, make_home
from tests.support.tiny_model import build_tiny_model

pytestmark = [pytest.mark.trainer, pytest.mark.timeout(1200)]

_STEPS = 30


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def job(path: Path) -> Path:
    hyperparameters = {"maxSteps": _STEPS, "batchSize": 2, "maxLength": 128, "learningRate": 0.01}
    manifest = {
        "apiVersion": "fettle.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "tiny"},
        "spec": {
            "baseModel": {"path": "models/tiny"},
            "dataset": {"source": {"workspace": {"path": "datasets/tiny"}}},
            "adapter": {"rank": 4, "dropout": 0.1},
            "hyperparameters": hyperparameters,
            "checkpoint": {"everySteps": 3},
            "resources": {"gpusPerNode": 0, "cpu": "1"},
        },
    }
    path.write_text(dump_manifest(manifest))
    return path


def run_to_the_end(home: Path, file: Path) -> str:
    process = fettle(home, "run", file)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 0, output + job_log(home)
    return output


def weights(home: Path) -> bytes:
    path = home / "workspace" / get(home, "adapter", "tiny")["status"]["path"]
    return (path / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, tiny_model: Path) -> Path:
    directory = tmp_path_factory.mktemp("uninterrupted")
    home = make_home(directory / "home", tiny_model)
    output = run_to_the_end(home, job(directory / "job.yaml"))
    assert "Succeeded" in output
    return home


def test_a_run_ends_with_an_adapter(uninterrupted: Path) -> None:
    status = get(uninterrupted, "tj", "tiny")["status"]
    assert status["phase"] == "Succeeded"
    assert status["progress"]["step"] == _STEPS
    assert status["checkpoints"]
    adapter = get(uninterrupted, "adapter", "tiny")
    assert adapter["status"]["phase"] == "Available"
    assert adapter["status"]["digest"] == status["output"]["digest"]
    assert weights(uninterrupted)


@pytest.mark.parametrize(
    "number",
    [pytest.param(signal.SIGKILL, marks=pytest.mark.slow, id="killed"), pytest.param(signal.SIGINT, id="interrupted")],
)
def test_a_stopped_run_ends_with_the_same_weights(
    uninterrupted: Path, tmp_path: Path, tiny_model: Path, number: signal.Signals
) -> None:
    home, file = make_home(tmp_path / "home", tiny_model), job(tmp_path / "job.yaml")
    first = fettle(home, "run", file)
    deadline = time.monotonic() + 600
    while not list(home.glob("workspace/jobs/*/attempts/*/checkpoints/*/fettle-checkpoint.json")):
        assert time.monotonic() < deadline
        assert first.poll() is None, first.communicate()[0] + job_log(home)
        time.sleep(0.02)
    first.send_signal(number)
    output, _ = first.communicate(timeout=120)
    assert first.returncode == (-number if number is signal.SIGKILL else 130), output
    run_to_the_end(home, file)
    assert weights(home) == weights(uninterrupted)
    progress = get(home, "tj", "tiny")["status"]["attempts"]
    assert progress["failures"] == 0


def test_a_bad_dataset_fails_with_the_row_and_a_hint(tmp_path: Path, tiny_model: Path) -> None:
    home, file = make_home(tmp_path / "home", tiny_model), job(tmp_path / "job.yaml")
    (home / "workspace/datasets/tiny/train.jsonl").write_text('{"messages": []}\n{"broken\n')
    process = fettle(home, "run", file)
    output, _ = process.communicate(timeout=600)
    assert process.returncode == 1, output
    assert "Failed (DatasetInvalid)" in output
    assert "Hint:" in output
    assert not list(home.glob("workspace/adapters/*/*"))
