"""Runs that fail after torch is loaded: each ends with its code and a hint, and nothing is published."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import RunFiles, finish_run, run_config, write_run
from tests.support.tiny_model import make_workspace, spoil_weights
from tests.support.warm_training import train


def test_loss_that_is_not_finite_is_71(workspace: Path) -> None:
    spoil_weights(workspace / "models" / "tiny")
    files = write_run(workspace, run_config())

    assert train(files) == 71, files.log()
    assert_failed(files, "LossNotFinite", "the loss of step 1 is not finite")
    assert list((files.directory / "attempts/1/checkpoints").iterdir()) == []


def test_unknown_target_module_is_64_and_the_names_are_given(workspace: Path) -> None:
    files = write_run(workspace, run_config(adapter={"targetModules": ["query_key_value"]}))

    assert train(files) == 64, files.log()
    assert_failed(files, "ConfigurationInvalid", "spec.adapter.targetModules")
    assert "q_proj" in files.result()["failure"]["hint"]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("model.safetensors", b"garbage", "its weights cannot be loaded"),
        ("tokenizer.json", b"{", "its tokenizer cannot be loaded"),
    ],
)
def test_damaged_model_is_66(workspace: Path, name: str, content: bytes, expected: str) -> None:
    (workspace / "models" / "tiny" / name).write_bytes(content)
    files = write_run(workspace, run_config())

    assert train(files) == 66, files.log()
    assert_failed(files, "ModelUnavailable", expected)


def test_examples_that_leave_nothing_to_learn_are_65(workspace: Path) -> None:
    files = write_run(workspace, run_config(hyperparameters={"maxLength": 8}))

    assert train(files) == 65, files.log()
    assert_failed(files, "DatasetInvalid", "within maxLength (8 tokens)")


def test_disk_that_fills_up_with_checkpoints_is_67(tiny_model: Path, tmp_path: Path, small_disk: Path) -> None:
    make_workspace(small_disk, tiny_model)
    files = write_run(small_disk, run_config(checkpoint={"everySteps": 1, "keepLast": 10}))

    assert finish_run(files) == 67, files.log()
    assert_failed(files, "DiskFull", "disk", files.termination())


def assert_failed(files: RunFiles, code: str, expected: str, result: dict[str, Any] | None = None) -> None:
    failure = (result or files.result())["failure"]
    assert failure["code"] == code
    assert expected in failure["message"]
    assert failure["hint"]
    assert json.dumps(failure).count("Traceback") == 0
    assert not (files.workspace / "adapters").exists()
