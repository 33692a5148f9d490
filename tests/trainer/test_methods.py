"""One real training for each method and each kind of weights: it learns, publishes, and leaves the base alone."""

import hashlib
import math
from pathlib import Path
from typing import Any

import pytest

from tests.support.runs import run_config, write_run
from tests.support.tiny_model import write_rows
from tests.support.training_data import ROWS
from tests.support.warm_training import train

RUNS: dict[str, dict[str, Any]] = {
    "dpo": {"method": "dpo", "hyperparameters": {"beta": 0.1}},
    "ipo": {"method": "ipo", "hyperparameters": {"beta": 0.1}},
    "orpo": {"method": "orpo", "hyperparameters": {"beta": 0.1, "maxPromptLength": 64}},
    "cpo": {"method": "cpo", "hyperparameters": {"beta": 0.1, "cpoAlpha": 1.0}},
    "simpo": {"method": "simpo", "hyperparameters": {"beta": 2.0, "simpoGamma": 0.5, "cpoAlpha": 0.0}},
    "kto": {"method": "kto", "hyperparameters": {"beta": 0.1, "desirableWeight": 1.0, "undesirableWeight": 1.0}},
    "sft packed": {"method": "sft", "hyperparameters": {"packing": True, "maxLength": 256}},
    "sft dora": {"method": "sft", "adapter": {"useDora": True}},
    "sft rslora": {"method": "sft", "adapter": {"useRslora": True}},
    "sft qlora": {"method": "sft", "adapter": {"type": "qlora"}},
    "sft qlora 8 bits": {"method": "sft", "adapter": {"type": "qlora", "quantization": {"bits": 8}}},
    "dpo qlora": {"method": "dpo", "adapter": {"type": "qlora"}, "hyperparameters": {"beta": 0.1}},
}


@pytest.mark.parametrize("name", RUNS)
def test_a_method_learns_and_publishes_an_adapter_that_plain_peft_loads(
    workspace: Path, tiny_model: Path, name: str
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    changes = RUNS[name]
    if changes["method"] in ROWS:
        write_rows(workspace / "datasets" / "train.jsonl", ROWS[changes["method"]](24))
    files = write_run(workspace, run_config(**changes))

    assert train(files) == 0, files.log()
    losses = files.losses()
    assert all(math.isfinite(loss) for loss in losses.values())
    assert min(losses[7], losses[8]) < losses[1]
    weights = (workspace / "models/tiny/model.safetensors").read_bytes()
    assert hashlib.sha256(weights).digest() == hashlib.sha256((tiny_model / "model.safetensors").read_bytes()).digest()
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    plain = base(torch.arange(3, 40)[None]).logits.detach()
    adapted = PeftModel.from_pretrained(base, workspace / files.result()["output"]["path"]).eval()
    assert not torch.equal(adapted(torch.arange(3, 40)[None]).logits, plain)
    assert list(adapted.peft_config) == ["default"]


def test_full_fine_tuning_publishes_a_model_in_the_dtype_of_its_base(workspace: Path, tiny_model: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    files = write_run(workspace, run_config(adapter={"type": "none"}, hyperparameters={"learningRate": 1e-3}))

    assert train(files) == 0, files.log()
    output = files.result()["output"]
    assert output["kind"] == "model"
    assert output["path"].startswith("models/demo/")
    losses = files.losses()
    assert min(losses[7], losses[8]) < losses[1]
    trained = AutoModelForCausalLM.from_pretrained(workspace / output["path"])
    base = AutoModelForCausalLM.from_pretrained(tiny_model)
    assert trained.dtype == base.dtype
    changed = [
        name for name, tensor in trained.state_dict().items() if not torch.equal(tensor, base.state_dict()[name])
    ]
    assert len(changed) == len(base.state_dict())
    assert AutoTokenizer.from_pretrained(workspace / output["path"]).chat_template


@pytest.mark.parametrize("method", ["dpo", "kto"])
def test_full_fine_tuning_by_preferences_keeps_a_frozen_reference(workspace: Path, method: str) -> None:
    write_rows(workspace / "datasets" / "train.jsonl", ROWS[method](24))
    settings = {**RUNS[method]["hyperparameters"], "learningRate": 1e-3}
    files = write_run(workspace, run_config(method=method, adapter={"type": "none"}, hyperparameters=settings))

    assert train(files) == 0, files.log()
    losses = files.losses()
    assert min(losses[7], losses[8]) < losses[1]
