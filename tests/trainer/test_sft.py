"""One real training of a tiny model: what it learns, what it leaves alone, and what it publishes."""

import hashlib
import json
from itertools import pairwise
from pathlib import Path

from fettle_schema.run import ProgressEvent, RunResult
from fettle_trainer.publish import directory_digest
from tests.support.runs import RunFiles, run_config, write_run
from tests.support.warm_training import train


def test_loss_is_finite_and_falls(uninterrupted: RunFiles) -> None:
    losses = uninterrupted.losses()

    assert sorted(losses) == list(range(1, 9))
    assert losses[8] < losses[1]


def test_result_and_termination_message_tell_what_was_published(uninterrupted: RunFiles) -> None:
    result = RunResult.model_validate(uninterrupted.result())

    assert uninterrupted.termination() == uninterrupted.result()
    assert result.exit_code == 0
    assert result.step == 8
    assert result.output is not None
    assert result.output.path == f"adapters/demo/{result.output.digest.removeprefix('sha256:')[:12]}"
    assert result.rank == 4
    assert result.target_modules == ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
    assert result.metrics["tokens"] > 0
    assert directory_digest(uninterrupted.workspace / result.output.path) == result.output.digest


def test_published_directory_is_small_and_readable(uninterrupted: RunFiles) -> None:
    directory = uninterrupted.workspace / uninterrupted.result()["output"]["path"]

    modes = {path.name: oct(path.stat().st_mode & 0o777) for path in directory.iterdir()}
    assert modes == dict.fromkeys(("adapter_config.json", "adapter_model.safetensors", "fettle.json"), "0o644")
    assert oct(directory.stat().st_mode & 0o777) == "0o755"
    assert [path.name for path in directory.parent.iterdir()] == [directory.name]


def test_adapter_names_the_base_model_as_the_spec_does(uninterrupted: RunFiles) -> None:
    directory = uninterrupted.workspace / uninterrupted.result()["output"]["path"]

    assert json.loads((directory / "adapter_config.json").read_text())["base_model_name_or_path"] == "models/tiny"
    for path in directory.iterdir():
        assert str(uninterrupted.workspace).encode() not in path.read_bytes()


def test_base_weights_are_unchanged(uninterrupted: RunFiles, tiny_model: Path) -> None:
    used = uninterrupted.workspace / "models" / "tiny" / "model.safetensors"

    assert hashlib.sha256(used.read_bytes()).digest() == hashlib.sha256((tiny_model / used.name).read_bytes()).digest()


def test_adapter_loads_in_plain_peft_and_changes_the_logits(uninterrupted: RunFiles, tiny_model: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    before = {name: tensor.clone() for name, tensor in base.state_dict().items()}
    ids = torch.arange(3, 40)[None]
    plain = base(ids).logits.detach()
    adapted = PeftModel.from_pretrained(base, uninterrupted.workspace / uninterrupted.result()["output"]["path"]).eval()

    assert not torch.equal(adapted(ids).logits, plain)
    with adapted.disable_adapter():
        assert torch.equal(adapted(ids).logits, plain)
    moved = [name for name, parameter in adapted.named_parameters() if "lora_B" in name and parameter.any()]
    assert len(moved) == 14
    kept = {
        name.removeprefix("base_model.model.").replace(".base_layer", ""): p for name, p in adapted.named_parameters()
    }
    assert all(torch.equal(kept[name], tensor) for name, tensor in before.items() if name in kept)


def test_every_event_is_valid_and_steps_carry_the_numbers(uninterrupted: RunFiles) -> None:
    events = [ProgressEvent.model_validate(event) for event in uninterrupted.events()]

    stages = [event.stage for event in events if event.kind == "stage"]
    assert [str(stage) for stage in dict.fromkeys(stages)] == ["loading_dataset", "loading_model", "training", "saving"]
    steps = [event for event in events if event.kind == "step"]
    assert [event.step for event in steps] == list(range(1, 9))
    assert all(event.total_steps == 8 and event.tokens and event.peak_memory_bytes for event in steps)
    assert all(first.tokens < second.tokens for first, second in pairwise(steps))  # type: ignore[operator]
    assert events[-1].kind == "end"


def test_only_the_last_checkpoints_are_kept_and_all_were_reported(uninterrupted: RunFiles) -> None:
    reported = [event["checkpoint"]["name"] for event in uninterrupted.events() if event["kind"] == "checkpoint"]
    kept = sorted(path.name for path in (uninterrupted.directory / "attempts/1/checkpoints").iterdir())

    assert reported == ["checkpoint-3", "checkpoint-6", "checkpoint-8"]
    assert kept == ["checkpoint-6", "checkpoint-8"]


def test_the_same_run_again_publishes_the_same_bytes(workspace: Path, uninterrupted: RunFiles) -> None:
    files = write_run(workspace, run_config(checkpoint={"everySteps": 100}))

    assert train(files) == 0, files.log()
    assert files.losses() == uninterrupted.losses()
    assert files.result()["output"] == uninterrupted.result()["output"]


def test_evaluation_is_measured_and_reported(workspace: Path) -> None:
    dataset = {
        "source": {"workspace": {"path": "datasets/train.jsonl"}},
        "evaluation": {"fraction": 0.25},
    }
    settings = {"maxSteps": 4, "evaluationSteps": 2, "loggingSteps": 2}
    files = write_run(workspace, run_config(dataset=dataset, hyperparameters=settings))

    assert train(files) == 0, files.log()
    evaluations = [event for event in files.events() if event["kind"] == "evaluation"]
    assert [event["step"] for event in evaluations] == [2, 4]
    assert files.result()["metrics"]["evalLoss"] == evaluations[-1]["evalLoss"]
