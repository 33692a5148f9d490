"""The `fettle` command, without a trainer: jobs bring small scripts of their own."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fettle_local.cli import app
from fettle_schema.manifests import dump_manifest, load_manifests
from tests.support.scripted_job import scripted_job

_FAILURE = {
    "exitCode": 65,
    "failure": {"code": "DatasetInvalid", "message": "row 3 has no answer", "hint": "add an assistant message"},
}


@pytest.fixture
def fettle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("FETTLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FETTLE_CACHE", str(tmp_path / "cache"))
    runner = CliRunner()
    return lambda *arguments, text=None: runner.invoke(app, [str(argument) for argument in arguments], input=text)


@pytest.fixture
def job_file(tmp_path: Path) -> Path:
    path = tmp_path / "job.yaml"
    path.write_text(scripted_job())
    return path


def test_run_trains_and_says_so(fettle: Callable[..., Result], job_file: Path) -> None:
    result = fettle("run", job_file)
    assert result.exit_code == 0, result.output
    assert "trainingjob.fettle.dev/demo created" in result.output
    assert "3/3" in result.output
    assert "Succeeded" in result.output


def test_run_again_says_that_nothing_changed(fettle: Callable[..., Result], job_file: Path) -> None:
    fettle("run", job_file)
    result = fettle("run", job_file)
    assert result.exit_code == 0
    assert "unchanged" in result.output
    assert "Succeeded" in result.output
    assert "created" in fettle("run", job_file, "--name", "other").output


def test_run_of_a_failing_job_gives_reason_and_hint(fettle: Callable[..., Result]) -> None:
    for _ in range(2):
        result = fettle("run", "-", text=scripted_job(message=_FAILURE))
        assert result.exit_code == 1
        assert "Failed (DatasetInvalid): row 3 has no answer" in result.output
        assert "Hint: add an assistant message" in result.output


@pytest.mark.parametrize("command", ["run", "apply"])
def test_a_bad_manifest_is_refused_field_by_field(fettle: Callable[..., Result], tmp_path: Path, command: str) -> None:
    (document,) = load_manifests(scripted_job())
    document["spec"]["adapter"] = {"rank": 0}
    document["spec"]["hyperparameter"] = {}
    (tmp_path / "bad.yaml").write_text(dump_manifest(document))
    arguments = ["-f", tmp_path / "bad.yaml"] if command == "apply" else [tmp_path / "bad.yaml"]
    result = fettle(command, *arguments)
    assert result.exit_code == 2
    starts = sorted(line.split(": ")[0] for line in result.output.splitlines())
    assert starts == ["spec.adapter.rank", "spec.hyperparameter"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "missing.yaml"], "missing.yaml"),
        (["get", "deployments"], "unknown kind 'deployments'"),
        (["get", "tj", "--output", "xml"], "xml"),
        (["no-such-command"], "no-such-command"),
    ],
)
def test_wrong_usage_ends_with_2(fettle: Callable[..., Result], arguments: list[str], message: str) -> None:
    result = fettle(*arguments)
    assert result.exit_code == 2
    assert message in result.output


def test_resources_are_applied_shown_changed_and_deleted(fettle: Callable[..., Result], job_file: Path) -> None:
    result = fettle("apply", "-f", job_file)
    assert "trainingjob.fettle.dev/demo created" in result.output
    assert "No engine is running" in result.output
    assert "unchanged" in fettle("apply", "-f", job_file).output
    header, row = fettle("get", "tj").output.splitlines()
    assert header.split() == ["NAME", "PHASE", "STEP", "LOSS", "ETA", "GPUS", "RESTARTS", "AGE"]
    assert row.startswith("demo ")
    assert "METHOD" in fettle("get", "trainingjobs", "-o", "wide").output
    assert "suspended" in fettle("suspend", "demo").output
    shown = json.loads(fettle("get", "tj", "demo", "-o", "json").output)
    assert shown["spec"]["suspend"] is True
    assert load_manifests(fettle("get", "tj", "-o", "yaml").output)[0]["metadata"]["name"] == "demo"
    assert "resumed" in fettle("resume", "demo").output
    assert "cancelled" in fettle("cancel", "demo").output
    assert "Name:       demo" in fettle("describe", "tj", "demo").output
    assert fettle("delete", "tj", "demo").output == "trainingjob.fettle.dev/demo deleted\n"
    assert "No resources found" in fettle("get", "tj").output
    result = fettle("get", "tj", "demo")
    assert result.exit_code == 1
    assert "NotFound" in result.output


def test_values_of_secrets_are_not_shown(fettle: Callable[..., Result]) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"HF_TOKEN": "hf_1"}}
    assert fettle("apply", "-f", "-", "-o", "yaml", text=dump_manifest(secret)).exit_code == 0
    shown = json.loads(fettle("get", "secrets", "s", "-o", "json").output)
    assert shown["data"] == {"HF_TOKEN": "***"}


def test_homes_know_nothing_of_each_other(fettle: Callable[..., Result], job_file: Path, tmp_path: Path) -> None:
    fettle("apply", "-f", job_file)
    assert "No resources found" in fettle("--home", tmp_path / "other", "get", "tj").output


def test_logs_are_printed(fettle: Callable[..., Result], job_file: Path) -> None:
    fettle("run", job_file)
    assert fettle("logs", "demo").output.splitlines() == [f"step {step} from 0" for step in (1, 2, 3)]
    assert fettle("logs", "demo", "--tail", 1, "-f").output == "step 3 from 0\n"


def test_datasets_are_copied_as_versions(fettle: Callable[..., Result], tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl"
    source.write_text('{"text": "a"}\n')
    assert fettle("datasets", "add", "rows", source).output == "datasets/rows/v1 added\n"
    assert fettle("datasets", "add", "rows", source).output == "datasets/rows/v1 unchanged\n"
    source.write_text('{"text": "b"}\n')
    assert fettle("datasets", "add", "rows", source).output == "datasets/rows/v2 added\n"
    assert (tmp_path / "home/workspace/datasets/rows/v2/data.jsonl").read_text() == '{"text": "b"}\n'
    assert fettle("datasets", "list").output.split() == ["rows", "v1", "rows", "v2"]
    assert fettle("datasets", "add", "../x", source).exit_code == 1
    assert fettle("datasets", "add", "x", tmp_path / "nothing").exit_code == 1


def test_version_and_models(fettle: Callable[..., Result]) -> None:
    assert fettle("version").output.startswith("fettle 0.")
    assert "smollm2-135m" in fettle("models", "list").output
    result = fettle("models", "fetch", "gpt-5")
    assert result.exit_code == 1
    assert "smollm2-135m" in result.output


@pytest.mark.parametrize("arguments", [["--help"], ["get", "tj"], ["version"]])
def test_light_commands_import_nothing_heavy(tmp_path: Path, arguments: list[str]) -> None:
    script = f"""
import sys
from fettle_local.cli import app
try:
    app({arguments!r})
except SystemExit:
    pass
heavy = ["torch", "transformers", "kopf", "fastapi", "kubernetes", "uvicorn", "datasets"]
print("HEAVY", [name for name in heavy if name in sys.modules])
"""
    environment = {**os.environ, "FETTLE_HOME": str(tmp_path)}
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=True)
    assert done.stdout.splitlines()[-1] == "HEAVY []"
