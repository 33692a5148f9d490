"""What goes wrong ends in Failed with its code, a sentence and a hint, and nothing half-written in `adapters/`."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from fettle_schema.manifests import dump_manifest
from tests.support.local_home import fettle, get, job_log, make_home
from tests.support.small_disk import small_disk as small_disk
from tests.support.tiny_model import build_tiny_model, spoil_weights

pytestmark = [pytest.mark.trainer, pytest.mark.timeout(600)]

GOOD = '{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}'


@pytest.fixture(scope="module")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


def start(home: Path, **spec: Any) -> "subprocess.Popen[str]":
    """`fettle run` of a job that would train 40 steps."""
    manifest = {
        "apiVersion": "fettle.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "tiny"},
        "spec": {
            "baseModel": {"path": "models/tiny"},
            "dataset": {"source": {"workspace": {"path": "datasets/tiny"}}},
            "adapter": {"rank": 4},
            "hyperparameters": {"maxSteps": 40, "batchSize": 2, "maxLength": 128},
            "checkpoint": {"everySteps": 1, "keepLast": 10},
            "limits": {"maxRetries": 0},
            "resources": {"gpusPerNode": 0, "cpu": "1"},
            **spec,
        },
    }
    file = home.parent / "job.yaml"
    file.write_text(dump_manifest(manifest))
    return fettle(home, "run", file)


def failed_status(home: Path, process: "subprocess.Popen[str]") -> dict[str, Any]:
    """The status of the job when the command has ended, which must be by a failure that it explains."""
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 1, output + job_log(home)
    status: dict[str, Any] = get(home, "tj", "tiny")["status"]
    assert status["phase"] == "Failed"
    assert f"Failed ({status['reason']})" in output
    assert "Hint:" in output
    return status


def assert_failure(status: dict[str, Any], code: str, expected: str, workspace: Path) -> None:
    failure = status["failure"]
    assert failure["code"] == code
    assert expected in failure["message"]
    assert failure["hint"]
    assert status["reason"] == code
    assert not list(workspace.glob("adapters/*/*"))
    assert not list(workspace.glob("adapters/.*"))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (b'{"messages": [{"role": "user", "content": "caf\xe9"}]}\n', "UTF-8"),
        (f'{GOOD}\n{GOOD}\n{{"messages": [\n'.encode(), "line 3"),
        (b'{"question": "a", "answer": "b"}\n', "question"),
        (b"", "no rows"),
        (b'{"messages": [{"role": "user", "content": "a"}]}\n', "assistant"),
    ],
    ids=["not UTF-8", "broken JSON on line 3", "missing column", "empty", "no assistant turn"],
)
def test_a_bad_dataset_is_named(tmp_path: Path, tiny_model: Path, rows: bytes, expected: str) -> None:
    home = make_home(tmp_path / "home", tiny_model)
    (home / "workspace/datasets/tiny/train.jsonl").write_bytes(rows)
    assert_failure(failed_status(home, start(home)), "DatasetInvalid", expected, home / "workspace")


def test_a_missing_model_is_named(tmp_path: Path, tiny_model: Path) -> None:
    home = make_home(tmp_path / "home", tiny_model)
    status = failed_status(home, start(home, baseModel={"path": "models/absent"}))
    assert_failure(status, "ModelUnavailable", "models/absent", home / "workspace")


def test_a_preflight_tells_everything_before_a_run_is_started(tmp_path: Path, tiny_model: Path) -> None:
    home = make_home(tmp_path / "home", tiny_model)
    hyperparameters = {"maxSteps": 40, "maxLength": 8}
    adapter = {"rank": 4, "targetModules": ["query"]}
    process = start(home, preflight="always", adapter=adapter, hyperparameters=hyperparameters)

    status = failed_status(home, process)
    assert_failure(status, "ConfigurationInvalid", "spec.adapter.targetModules", home / "workspace")
    assert "1 more in jobs/tiny-" in status["failure"]["message"]
    assert "attempts" not in status
    (report,) = home.glob("workspace/jobs/*/preflight.json")
    assert [failure["code"] for failure in json.loads(report.read_text())["failures"]] == [
        "DatasetInvalid",
        "ConfigurationInvalid",
    ]


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_run(tmp_path: Path) -> None:
    model = build_tiny_model(tmp_path / "model")
    spoil_weights(model)
    home = make_home(tmp_path / "home", model)
    assert_failure(failed_status(home, start(home)), "LossNotFinite", "step 1", home / "workspace")


@pytest.mark.slow
def test_a_step_that_hangs_is_a_stall(tmp_path: Path, tiny_model: Path) -> None:
    home = make_home(tmp_path / "home", tiny_model)
    hyperparameters = {"maxSteps": 100_000, "batchSize": 2, "maxLength": 128}
    limits = {"maxRetries": 0, "stallTimeoutSeconds": 2}
    process = start(home, hyperparameters=hyperparameters, checkpoint={"everySteps": 100_000}, limits=limits)
    os.kill(process_in_training(home, process), signal.SIGSTOP)
    assert_failure(failed_status(home, process), "Stalled", "2 s", home / "workspace")


def process_in_training(home: Path, process: "subprocess.Popen[str]") -> int:
    """The pid of the process that trains, once it has done a step."""
    deadline = time.monotonic() + 300
    while not any('"kind":"step"' in file.read_text() for file in home.glob("workspace/jobs/*/metrics.jsonl")):
        assert time.monotonic() < deadline
        assert process.poll() is None, job_log(home)
        time.sleep(0.05)
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            words = entry.read_bytes().split(b"\0")
            if b"fettle_trainer.run" in words and any(word.startswith(os.fsencode(home)) for word in words):
                return int(entry.parent.name)
    raise AssertionError("no process trains")


@pytest.mark.slow
def test_a_full_disk_is_named(tmp_path: Path, tiny_model: Path, small_disk: Path) -> None:
    home = make_home(tmp_path / "home", tiny_model)
    shutil.copytree(home / "workspace", small_disk, symlinks=True, dirs_exist_ok=True)
    shutil.rmtree(home / "workspace")
    (home / "workspace").symlink_to(small_disk)
    assert_failure(failed_status(home, start(home)), "DiskFull", "disk", small_disk)
