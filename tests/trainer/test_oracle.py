"""The closed form against a dry run of the real libraries: within 5 %, so that what a new version changes shows up."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.known_models import KNOWN_MODELS
from fettle_schema.estimate.memory import peak_bytes
from fettle_schema.estimate.memory_settings import MemorySettings
from fettle_schema.estimate.shape import ModelShape
from fettle_schema.training_job import Method

pytestmark = pytest.mark.filterwarnings("ignore")  # of libraries, about fake tensors

_LAYERS = 4
_SHAPES = {
    "llama-3.1-8b": KNOWN_MODELS["meta-llama/Llama-3.1-8B"],
    "qwen2.5-1.5b": KNOWN_MODELS["Qwen/Qwen2.5-1.5B-Instruct"],
    "qwen3-0.6b": KNOWN_MODELS["Qwen/Qwen3-0.6B"],
}
_ADAPTERS = {
    "lora": MemorySettings(),
    "qlora": MemorySettings(adapter=AdapterType.QLORA, quantization_bits=4),
    "full": MemorySettings(adapter=AdapterType.NONE),
}
_LENGTHS = ((4, 512), (1, 2048))
_FURTHER = {
    "8 bits": replace(_ADAPTERS["qlora"], quantization_bits=8),
    "8 bits without checkpointing": replace(_ADAPTERS["qlora"], quantization_bits=8, checkpointing=False),
    "dpo": replace(_ADAPTERS["lora"], method=Method.DPO, checkpointing=False),
    "full dpo": replace(_ADAPTERS["full"], method=Method.DPO, batch_size=2),
    "orpo": replace(_ADAPTERS["lora"], method=Method.ORPO, fused_head=False, batch_size=1),
    "attention and no dropout": replace(
        _ADAPTERS["lora"], target_modules=("q_proj", "v_proj"), dropout=0.0, checkpointing=False
    ),
    "without autocast": replace(
        _ADAPTERS["lora"], autocast=False, fused_head=False, dropout=0.0, batch_size=1, checkpointing=False
    ),
    "packing": replace(_ADAPTERS["lora"], packing=True, checkpointing=False),
    "qlora orpo": replace(_ADAPTERS["qlora"], method=Method.ORPO, fused_head=False, batch_size=1),
    "kto": replace(_ADAPTERS["full"], method=Method.KTO, batch_size=2),
    "fused optimizer": replace(_ADAPTERS["full"], optimizer="adamw_torch_fused"),
    "cpu": replace(_ADAPTERS["lora"], device="cpu", precision="fp32", checkpointing=False),
    "cpu bf16": replace(_ADAPTERS["lora"], device="cpu", checkpointing=False),
    "full on the cpu": replace(_ADAPTERS["full"], device="cpu", precision="fp32", checkpointing=False),
}


def _assert_close(config: Mapping[str, Any], settings: MemorySettings, layers: int = _LAYERS) -> None:
    from fettle_trainer.oracle.dry_run import dry_run

    shallow = {**config, "num_hidden_layers": layers}
    counted = dry_run(shallow, settings)
    assert peak_bytes(ModelShape.from_config(shallow), settings) == pytest.approx(counted.peak, rel=0.05)


@pytest.mark.parametrize("adapter", _ADAPTERS)
def test_the_closed_form_agrees_with_a_dry_run(adapter: str) -> None:
    _assert_close(_SHAPES["qwen2.5-1.5b"], _ADAPTERS[adapter], layers=2)


def test_a_head_that_a_training_installed_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    import trl.trainer.utils as head

    from fettle_trainer import cpu_head
    from fettle_trainer.oracle.dry_run import dry_run

    shallow, settings = {**_SHAPES["qwen3-0.6b"], "num_hidden_layers": 1}, replace(_ADAPTERS["lora"], length=128)
    monkeypatch.setattr(head, "_ChunkedLogProbFunction", cpu_head.original_head())
    monkeypatch.setattr(head, "_use_triton", lambda device: False)
    before = dry_run(shallow, settings)
    cpu_head.install(pytest.fail)
    assert dry_run(shallow, settings) == before


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "length"), _LENGTHS)
@pytest.mark.parametrize("checkpointing", [True, False])
@pytest.mark.parametrize("adapter", _ADAPTERS)
@pytest.mark.parametrize("shape", _SHAPES)
def test_the_closed_form_agrees_over_the_grid(
    shape: str, adapter: str, checkpointing: bool, batch_size: int, length: int
) -> None:
    settings = replace(_ADAPTERS[adapter], checkpointing=checkpointing, batch_size=batch_size, length=length)
    _assert_close(_SHAPES[shape], settings)


@pytest.mark.slow
@pytest.mark.parametrize("name", _FURTHER)
def test_the_closed_form_agrees_for_further_settings(name: str) -> None:
    _assert_close(_SHAPES["qwen2.5-1.5b"], replace(_FURTHER[name], length=512))


@pytest.mark.slow
def test_a_deep_model_agrees_by_extrapolation() -> None:
    from fettle_trainer.oracle.dry_run import extrapolated

    config, settings = _SHAPES["llama-3.1-8b"], replace(_ADAPTERS["lora"], checkpointing=False)
    counted = extrapolated(config, settings).peak
    assert peak_bytes(ModelShape.from_config(config), settings) == pytest.approx(counted, rel=0.05)


def test_a_dry_run_counts_what_is_trained() -> None:
    from fettle_trainer.oracle.dry_run import dry_run

    config = {**_SHAPES["qwen3-0.6b"], "num_hidden_layers": 1}
    counted = dry_run(config, replace(_ADAPTERS["lora"], rank=8, length=32))
    assert counted.trainable == ModelShape.from_config(config).lora_parameters(8)
    assert counted.weights < counted.held < counted.forward <= counted.peak
