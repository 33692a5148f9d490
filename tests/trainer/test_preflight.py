"""What is wrong with a run is found without training it, all at once, with the exit code that the run would have."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from fettle_trainer.preflight import main
from tests.support.runs import RunFiles, environment, run_config, write_run
from tests.support.tiny_model import write_rows
from tests.support.training_data import ROWS


def examine(workspace: Path, **changes: Any) -> tuple[int, RunFiles]:
    files = write_run(workspace, run_config(job={"attempt": 0}, **changes))
    return main([str(files.run_file)], environment(files)), files


def report_of(files: RunFiles) -> dict[str, Any]:
    report = json.loads((files.directory / "preflight.json").read_text())
    assert isinstance(report, dict)
    return report


def test_a_good_run_is_described(workspace: Path) -> None:
    code, files = examine(workspace)

    assert code == 0
    result, report = files.termination(), report_of(files)
    assert report["failures"] == []
    assert report["tokens"]["example_count"] == 24
    assert result["estimate"] == report["estimate"]
    memory = result["estimate"]["memory"]
    assert 0 < memory["lowBytes"] < memory["expectedBytes"] < memory["highBytes"]
    assert result["baseModelRevision"].startswith("sha256:")
    assert result["datasetDigest"].startswith("sha256:")


def test_it_leaves_neither_checkpoints_nor_progress_of_a_run(workspace: Path) -> None:
    _, files = examine(workspace)

    assert not (workspace / "adapters").exists()
    assert files.events() == []
    assert not list(files.directory.rglob("checkpoint-*"))


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_methods_of_preferences_too(workspace: Path, method: str) -> None:
    write_rows(workspace / "datasets" / "train.jsonl", ROWS[method](24))

    code, files = examine(workspace, method=method, hyperparameters={"beta": 0.1})
    assert code == 0, report_of(files)
    assert report_of(files)["tokens"]["example_count"] == 24


def test_everything_is_said_at_once_and_the_first_in_order_decides(workspace: Path) -> None:
    code, files = examine(workspace, adapter={"targetModules": ["query"]}, hyperparameters={"maxLength": 8})

    assert code == 64
    failures = report_of(files)["failures"]
    assert [failure["code"] for failure in failures] == ["DatasetInvalid", "ConfigurationInvalid"]
    told = files.termination()["failure"]
    assert "spec.adapter.targetModules" in told["message"]
    assert told["message"].endswith("(1 more in jobs/demo-1a2b3c4d/preflight.json)")
    assert "q_proj" in told["hint"]


def without_model(workspace: Path) -> None:
    shutil.rmtree(workspace / "models")


def with_broken_tokenizer(workspace: Path) -> None:
    (workspace / "models" / "tiny" / "tokenizer.json").write_text("{")


def with_bad_rows(workspace: Path) -> None:
    (workspace / "datasets" / "train.jsonl").write_text('{"messages": 1}\n')


@pytest.mark.parametrize(
    ("spoil", "code", "message"),
    [
        (without_model, 66, "does not exist in the workspace"),
        (with_broken_tokenizer, 66, "its tokenizer cannot be loaded"),
        (with_bad_rows, 65, "messages"),
    ],
)
def test_what_is_missing_or_broken_is_named(workspace: Path, spoil: Any, code: int, message: str) -> None:
    spoil(workspace)
    found, files = examine(workspace)

    assert found == code
    failure = files.termination()["failure"]
    assert message in failure["message"]
    assert failure["hint"]


def test_a_start_that_is_not_there_is_named(workspace: Path) -> None:
    code, files = examine(workspace, start={"jobDirectory": "jobs/other", "checkpoint": "latest"})

    assert code == 64
    assert "spec.startFrom.checkpoint" in files.termination()["failure"]["message"]


def test_a_push_that_cannot_work_is_named(workspace: Path) -> None:
    code, files = examine(workspace, output={"name": "demo", "push": {"repository": "acme/demo"}})

    assert code == 64
    assert "spec.output.push" in files.termination()["failure"]["message"]


def test_a_workspace_that_is_too_small_is_named(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(workspace)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))

    code, files = examine(workspace)
    assert code == 67
    assert "checkpoints and result need about" in files.termination()["failure"]["message"]


def test_a_model_that_the_formulas_do_not_know_is_a_warning(workspace: Path) -> None:
    path = workspace / "models" / "tiny" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "num_local_experts": 4}))

    code, files = examine(workspace)
    assert code == 0
    assert "estimate" not in files.termination()
    assert any("no estimate of memory" in warning for warning in files.termination()["warnings"])


def test_a_run_that_cannot_be_read_is_64(tmp_path: Path) -> None:
    assert main([str(tmp_path / "none.json")], {"FETTLE_WORKSPACE": str(tmp_path)}) == 64
