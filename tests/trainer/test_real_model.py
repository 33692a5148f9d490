"""Every method on a real model of 135 million parameters: it learns, and plain PEFT loads what it leaves."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from fettle_local.home import Home
from fettle_local.models import fetch_model
from tests.support.runs import finish_run, run_config, write_run
from tests.support.tiny_model import message_rows, write_rows
from tests.support.training_data import ROWS

pytestmark = pytest.mark.slow

MODEL = "models/smollm2-135m"
RUNS: dict[str, dict[str, Any]] = {
    "sft": {"method": "sft"},
    "sft qlora": {"method": "sft", "adapter": {"type": "qlora"}},
    "sft dora": {"method": "sft", "adapter": {"useDora": True}},
    "dpo": {"method": "dpo", "hyperparameters": {"beta": 0.1}},
    "ipo": {"method": "ipo", "hyperparameters": {"beta": 0.1}},
    "orpo": {"method": "orpo", "hyperparameters": {"beta": 0.1}},
    "cpo": {"method": "cpo", "hyperparameters": {"beta": 0.1, "cpoAlpha": 1.0}},
    "simpo": {"method": "simpo", "hyperparameters": {"beta": 2.0, "simpoGamma": 0.5, "cpoAlpha": 0.0}},
    "kto": {"method": "kto", "hyperparameters": {"beta": 0.1, "desirableWeight": 1.0, "undesirableWeight": 1.0}},
    "full": {"method": "sft", "adapter": {"type": "none"}, "hyperparameters": {"learningRate": 2e-5}},
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A home whose workspace holds the model."""
    home = Home.from_environment({"FETTLE_HOME": str(tmp_path_factory.mktemp("home")), "HOME": str(Path.home())})
    fetch_model(home, "smollm2-135m", print)
    return home


def settings(changes: dict[str, Any]) -> dict[str, Any]:
    """Six steps."""
    usual = {"maxSteps": 6, "gradientAccumulationSteps": 1, "learningRate": 1e-3, "precision": "auto"}
    return {**changes, "hyperparameters": {**usual, **changes.get("hyperparameters", {})}}


@pytest.mark.parametrize("name", RUNS)
def test_a_real_model_learns(home: Home, name: str) -> None:
    changes = settings(RUNS[name])
    output = f"real-{name.replace(' ', '-')}"
    directory = home.workspace / "jobs" / output
    write_rows(home.workspace / "datasets/train.jsonl", ROWS.get(changes["method"], message_rows)(24))
    config = run_config(
        **changes,
        baseModel={"path": MODEL},
        directory=str(directory.relative_to(home.workspace)),
        output={"name": output},
    )
    files = write_run(home.workspace, config)

    assert finish_run(files, OMP_NUM_THREADS="2") == 0, files.log()
    losses = files.losses()
    assert len(losses) == 6
    assert all(math.isfinite(loss) for loss in losses.values())
    assert min(losses[5], losses[6]) < losses[1]
    shutil.rmtree(directory)


@pytest.mark.parametrize("has_fast_path", [True, False])
def test_a_quantized_model_answers_as_its_base_does(home: Home, has_fast_path: bool) -> None:
    """With AVX512_BF16 bitsandbytes takes another path on the CPU, which leaves evaluation with garbage."""
    import bitsandbytes
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from fettle_schema.adapter_parameters import QuantizationSpec
    from fettle_trainer.preparation import quantization_config

    bitsandbytes.nn.modules.has_avx512bf16 = lambda: has_fast_path
    config = quantization_config(QuantizationSpec(), "fp32", uses_gpu=False)
    assert bitsandbytes.nn.modules.has_avx512bf16() is False
    directory = home.workspace / MODEL
    tokenizer = AutoTokenizer.from_pretrained(directory)
    ids = tokenizer("The capital of France is Paris. The capital of Italy is Rome.", return_tensors="pt")["input_ids"]
    losses = []
    for options in ({}, {"quantization_config": config, "device_map": {"": "cpu"}}):
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32, **options)
        with torch.no_grad():
            losses.append(float(model.eval()(ids, labels=ids).loss))
    assert losses[1] == pytest.approx(losses[0], rel=0.15)
