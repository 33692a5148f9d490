"""`fettle estimate`: what is found, what is printed, and what is said when something is missing."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from fettle_local.cli import app
from fettle_schema.estimate.known_models import KNOWN_MODELS
from fettle_schema.manifests import dump_manifest

_LLAMA = "meta-llama/Llama-3.1-8B"


@pytest.fixture
def fettle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.setenv("FETTLE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("FETTLE_CACHE", str(tmp_path / "cache"))
    runner = CliRunner()
    return lambda *arguments, text: runner.invoke(app, ["estimate", "-", *map(str, arguments)], input=text)


def _job(model: str = _LLAMA, **spec: Any) -> str:
    source = {"source": {"workspace": {"path": "datasets/kubectl"}}}
    manifest = {
        "apiVersion": "fettle.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": "demo"},
        "spec": {"baseModel": {"id": model}, "dataset": source, **spec},
    }
    return dump_manifest(manifest)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_job(), ("lora", "41,943,040 of 8,030,261,248", "weights of the adapter")),
        (_job(adapter={"type": "qlora"}), ("qlora 4 bits", "41,943,040 of 8,030,261,248")),
        (_job(adapter={"type": "none"}), ("full", "8,030,261,248 of 8,030,261,248", "gradients  ")),
        (_job(adapter={"type": "none"}, hyperparameters={"optimizer": "adamw_torch"}), ("full", "optimizer at work")),
        (_job("meta-llama/Llama-3.1-70B", adapter={"type": "qlora"}), ("of 70,553,706,496", "36.80 GiB")),
        (_job("Qwen/Qwen2.5-7B", method="dpo"), ("dpo, lora", "of 7,615,616,512")),
    ],
)
def test_public_models_are_judged_by_bundled_facts(
    fettle: Callable[..., Result], text: str, words: tuple[str, ...]
) -> None:
    result = fettle(text=text)
    assert result.exit_code == 0, result.output
    assert "bundled configuration facts" in result.output
    for word in (*words, "weights of the base model", "expected", "confidence high"):
        assert word in result.output


def test_with_a_gpu_there_is_time_advice_and_cost(fettle: Callable[..., Result]) -> None:
    result = fettle("--gpu", "h100-80", "--examples", 1000, "--price", 2.5, text=_job())
    assert result.exit_code == 0, result.output
    for word in ("ON h100-80", "fits; largest micro-batch", "smallest sufficient GPU", "prior:", "GPU-hours", "cost"):
        assert word in result.output
    without = fettle("--gpu", "h100-80", text=_job())
    assert "--examples" in without.output


def test_json_holds_the_same(fettle: Callable[..., Result]) -> None:
    found = json.loads(fettle("--json", "--gpu", "l4-24", text=_job(hyperparameters={"maxSteps": 10})).output)
    assert found["job"] == "demo"
    assert found["parameters"] == 8_030_261_248
    assert sum(found["memory"]["parts"].values()) == found["memory"]["expectedBytes"]
    assert found["time"]["tokens"] == 10 * 4 * 1024
    assert found["advice"]["gpu"] == "l4-24"


def test_the_workspace_wins_over_bundled_facts(fettle: Callable[..., Result], tmp_path: Path) -> None:
    directory = tmp_path / "home" / "workspace" / "models" / _LLAMA
    directory.mkdir(parents=True)
    (directory / "config.json").write_text(json.dumps({**KNOWN_MODELS[_LLAMA], "num_hidden_layers": 2}))
    result = fettle(text=_job())
    assert "(the workspace)" in result.output
    assert "8,030,261,248" not in result.output


def test_the_count_of_a_described_dataset_is_used(fettle: Callable[..., Result], tmp_path: Path) -> None:
    directory = tmp_path / "home" / "workspace" / "datasets" / "kubectl" / "v2"
    directory.mkdir(parents=True)
    (directory / "dataset.json").write_text(json.dumps({"name": "kubectl", "exampleCount": 7}))
    found = json.loads(fettle("--json", "--gpu", "l4-24", text=_job(hyperparameters={"epochs": 1})).output)
    assert found["time"]["tokens"] == 7 * 1024


def test_a_configuration_can_be_given(fettle: Callable[..., Result], tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(dict(KNOWN_MODELS[_LLAMA])))
    assert "8,030,261,248" in fettle("--config", path, text=_job("acme/own")).output


def test_what_is_missing_is_said(fettle: Callable[..., Result], tmp_path: Path) -> None:
    unknown = fettle(text=_job("acme/own"))
    assert unknown.exit_code == 1
    assert "'acme/own' is not in the workspace" in unknown.output
    assert "--config FILE" in unknown.output
    path = tmp_path / "config.json"
    path.write_text(json.dumps({"model_type": "llama", "hidden_size": 64, "num_attention_heads": 4}))
    assert "'vocab_size'" in fettle("--config", path, text=_job("acme/own")).output
    path.write_text("{")
    assert "cannot be read as JSON" in fettle("--config", path, text=_job("acme/own")).output


def test_bad_manifests_and_unknown_gpus_are_refused(fettle: Callable[..., Result]) -> None:
    assert "h100-80" in fettle("--gpu", "h100", text=_job()).output
    bad = fettle(text=_job(adapter={"type": "lora", "rank": 0}))
    assert bad.exit_code == 2
    assert "spec.adapter.rank" in bad.output
