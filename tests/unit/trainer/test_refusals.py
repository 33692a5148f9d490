"""Runs that end before anything is loaded: bad settings, a bad dataset, a missing model. None imports torch."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import RunFiles, environment, finish_run, run_config, write_run
from tests.support.tiny_model import message_rows, write_rows

REFUSED_SETTINGS: dict[str, tuple[dict[str, Any], str]] = {
    "push offline": ({"output": {"name": "demo", "push": {"repository": "a/b"}}}, "spec.output.push: HF_HUB_OFFLINE"),
    "of another method": ({"hyperparameters": {"beta": 0.1}}, "spec.hyperparameters.beta: does not exist for sft"),
    "packing pairs": ({"method": "dpo", "hyperparameters": {"packing": True}}, "spec.hyperparameters.packing"),
    "margin of simpo": ({"method": "cpo", "hyperparameters": {"simpoGamma": 0.5}}, "spec.hyperparameters.simpoGamma"),
    "node without a number": ({"topology": {"nodes": 2, "rendezvous": "host:1"}}, "JOB_COMPLETION_INDEX"),
    "invalid value": ({"hyperparameters": {"batchSize": 0}}, "hyperparameters.batchSize"),
    "unknown field": ({"hyperparameters": {"lora": 1}}, "hyperparameters.lora"),
    "invalid enum": ({"method": "magic"}, "method"),
}

BAD_DATASETS: dict[str, tuple[bytes, str]] = {
    "not UTF-8": (b'{"text": "\xff\xfe"}\n', "UTF-8"),
    "broken JSON": (b'{"text": "a"}\n{"text": "b"}\n{"text": \n', "line 3"),
    "missing column": (b'{"messages": [{"role": "user", "content": "a"}]}\n{"other": 1}\n', "messages"),
    "empty": (b"", "train.jsonl"),
    "no assistant turn": (b'{"messages": [{"role": "user", "content": "a"}]}\n', "assistant"),
}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    directory = tmp_path / "workspace"
    write_rows(directory / "datasets" / "train.jsonl", message_rows(4))
    return directory


@pytest.mark.parametrize("name", REFUSED_SETTINGS)
def test_setting_that_cannot_be_followed_is_64_and_named(workspace: Path, name: str) -> None:
    changes, field = REFUSED_SETTINGS[name]
    files = write_run(workspace, run_config(**changes))

    assert finish_run(files) == 64, files.log()
    assert_refused(files, "ConfigurationInvalid", field)


@pytest.mark.parametrize("name", BAD_DATASETS)
def test_bad_dataset_is_65_and_says_where(workspace: Path, name: str) -> None:
    content, expected = BAD_DATASETS[name]
    (workspace / "datasets" / "train.jsonl").write_bytes(content)
    files = write_run(workspace, run_config())

    assert finish_run(files) == 65, files.log()
    assert_refused(files, "DatasetInvalid", expected)


def test_findings_lie_in_the_job_directory(workspace: Path) -> None:
    rows = b'{"text": ""}\n' * 30
    (workspace / "datasets" / "train.jsonl").write_bytes(rows)
    files = write_run(workspace, run_config())

    assert finish_run(files) == 65
    findings = json.loads((files.directory / "findings.json").read_text())
    assert findings["total"] == 30
    assert len(findings["listed"]) == 20


def test_missing_dataset_is_65(workspace: Path) -> None:
    (workspace / "datasets" / "train.jsonl").unlink()
    files = write_run(workspace, run_config())

    assert finish_run(files) == 65
    assert_refused(files, "DatasetInvalid", "datasets/train.jsonl")


@pytest.mark.parametrize(
    ("base_model", "expected"),
    [
        ({"path": "models/none"}, "spec.baseModel.path: 'models/none' does not exist"),
        ({"path": "datasets"}, "spec.baseModel.path: 'datasets' has no config.json"),
        ({"id": "acme/none"}, "neither in the workspace (models/acme/none) nor in the hub's cache"),
    ],
)
def test_missing_model_is_66_and_says_where_it_was_looked_for(
    workspace: Path, base_model: dict[str, str], expected: str
) -> None:
    files = write_run(workspace, run_config(baseModel=base_model))

    assert finish_run(files) == 66, files.log()
    assert_refused(files, "ModelUnavailable", expected)


def assert_refused(files: RunFiles, code: str, expected: str) -> None:
    failure = files.termination()["failure"]
    assert failure["code"] == code
    assert expected in failure["message"]
    assert failure["hint"]
    assert "Traceback" not in failure["message"]
    assert not (files.workspace / "adapters").exists()
    assert environment(files)["FETTLE_WORKSPACE"] not in failure["message"]
