"""Memory in closed form: against published measurements, and how it answers to settings."""

import time
from dataclasses import replace

import pytest

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.held_memory import four_bit_bytes
from fettle_schema.estimate.known_models import KNOWN_MODELS
from fettle_schema.estimate.memory import GIB, estimate_memory, peak_bytes
from fettle_schema.estimate.memory_settings import MemorySettings, memory_settings
from fettle_schema.estimate.shape import ModelShape
from fettle_schema.training_job import Method, TrainingJobSpec

_8B = ModelShape.from_config(KNOWN_MODELS["meta-llama/Llama-3.1-8B"])
_3B = ModelShape.from_config(KNOWN_MODELS["meta-llama/Llama-3.2-3B"])
_LORA = MemorySettings()
_QLORA = MemorySettings(adapter=AdapterType.QLORA, quantization_bits=4)
_FULL = MemorySettings(adapter=AdapterType.NONE)

# PEFT's method comparison on MetaMathQA: Llama-3.2-3B on an L40S, micro-batch 4 × 768, no checkpointing, no autocast,
# bf16 weights, the model's own loss. github.com/huggingface/peft/tree/main/method_comparison/MetaMathQA/results
_PEFT = MemorySettings(batch_size=4, length=768, checkpointing=False, autocast=False, fused_head=False, dropout=0.0)
_PUBLISHED = {
    "lora r32": (20.76, replace(_PEFT, rank=32, target_modules=("q_proj", "v_proj"))),
    "lora r64": (21.00, replace(_PEFT, rank=64, target_modules=("q_proj", "v_proj"))),
    "lora r10 on the MLP": (23.00, replace(_PEFT, rank=10, target_modules=("gate_proj", "up_proj", "down_proj"))),
    "full": (36.20, replace(_PEFT, adapter=AdapterType.NONE, trained_precision="bf16")),
}


@pytest.mark.parametrize("name", _PUBLISHED)
def test_published_measurements_are_met_within_seven_percent(name: str) -> None:
    measured, settings = _PUBLISHED[name]
    assert estimate_memory(_3B, settings).reserved / GIB == pytest.approx(measured, rel=0.07)


def test_parts_add_up_to_what_is_expected() -> None:
    for settings in (_LORA, _QLORA, _FULL):
        found = estimate_memory(_8B, settings)
        assert sum(found.parts.values()) == found.expected
        assert found.low < found.expected < found.high
        assert found.confidence == "high"


def test_weights_are_counted_to_the_byte() -> None:
    assert estimate_memory(_8B, _LORA).parts["weights"] == 2 * 8_030_261_248
    assert estimate_memory(_8B, _LORA).parts["adapter"] == 4 * 41_943_040
    assert estimate_memory(_8B, _FULL).parts["weights"] == 4 * 8_030_261_248
    assert estimate_memory(_8B, _FULL).parts["optimizer"] == 8 * 8_030_261_248


@pytest.mark.parametrize(("double", "size"), [(True, 0.515869140625), (False, 0.5625)])
def test_four_bit_weights_carry_their_scales(double: bool, size: float) -> None:
    assert four_bit_bytes(double_quantization=double) == size


def test_a_reference_copy_is_held_for_full_preference_training_only() -> None:
    assert "reference" in estimate_memory(_8B, replace(_FULL, method=Method.DPO)).parts
    assert "reference" not in estimate_memory(_8B, replace(_LORA, method=Method.DPO)).parts
    assert "reference" not in estimate_memory(_8B, replace(_FULL, method=Method.ORPO, fused_head=False)).parts


def test_pairs_and_materialized_logits_cost_memory() -> None:
    single = peak_bytes(_8B, _LORA)
    pairs = peak_bytes(_8B, replace(_LORA, method=Method.DPO))
    logits = peak_bytes(_8B, replace(_LORA, method=Method.ORPO, fused_head=False))
    assert single < pairs < logits
    assert logits - pairs > 10 * _8B.vocabulary * 2 * _LORA.tokens


def test_every_saving_saves() -> None:
    lora = peak_bytes(_8B, replace(_LORA, checkpointing=False))
    assert peak_bytes(_8B, _LORA) < lora
    assert peak_bytes(_8B, _QLORA) < peak_bytes(_8B, _LORA) < peak_bytes(_8B, _FULL)
    assert peak_bytes(_8B, replace(_FULL, optimizer="adamw_torch_fused")) < peak_bytes(_8B, _FULL)
    assert peak_bytes(_8B, replace(_FULL, optimizer="paged_adamw_8bit")) < peak_bytes(
        _8B, replace(_FULL, optimizer="adamw_torch_fused")
    )


def test_eight_bit_layers_defeat_checkpointing_and_say_so() -> None:
    eight = replace(_QLORA, quantization_bits=8, batch_size=8)
    assert any("8-bit" in note for note in estimate_memory(_8B, eight).notes)
    four = replace(_QLORA, batch_size=8)
    kept = estimate_memory(_8B, eight).parts["activations"] - estimate_memory(_8B, four).parts["activations"]
    assert kept > 5 * GIB


def test_several_gpus_hold_the_whole_model_and_gradient_buckets() -> None:
    one, two = (estimate_memory(_8B, replace(_LORA, processes=count)) for count in (1, 2))
    assert two.parts["weights"] == one.parts["weights"]
    assert two.parts["gradientBuckets"] == 4 * 41_943_040


def test_a_job_leads_to_its_settings() -> None:
    spec = TrainingJobSpec.model_validate(
        {
            "method": "orpo",
            "baseModel": {"id": "a/b"},
            "adapter": {"type": "qlora", "rank": 8, "quantization": {"bits": 8}},
            "hyperparameters": {"batchSize": 2, "maxLength": 512},
            "resources": {"gpusPerNode": 2, "nodes": 2},
        }
    )
    found = memory_settings(spec, length=300)
    assert (found.rank, found.quantization_bits, found.rows, found.length) == (8, 8, 4, 300)
    assert (found.checkpointing, found.fused_head, found.processes, found.device) == (True, False, 4, "gpu")
    assert memory_settings(spec, length=4000).length == 512


def test_on_the_cpu_nothing_is_checkpointed_and_the_libraries_are_resident() -> None:
    spec = TrainingJobSpec.model_validate({"baseModel": {"id": "a/b"}, "resources": {"gpusPerNode": 0}})
    settings = memory_settings(spec)
    assert (settings.device, settings.checkpointing, settings.precision) == ("cpu", False, "fp32")
    found = estimate_memory(_3B, settings)
    assert found.parts["context"] > 800 * 2**20
    assert found.confidence == "medium"
    assert any("allocator" in note for note in found.notes)


def test_dora_and_saved_modules_cost_memory() -> None:
    assert peak_bytes(_8B, replace(_LORA, use_dora=True)) > peak_bytes(_8B, _LORA)
    saved = replace(_LORA, modules_to_save=("lm_head", "model.embed_tokens"))
    both = 2 * _8B.embedding_parameters
    held = estimate_memory(_8B, saved).parts["adapter"] - estimate_memory(_8B, _LORA).parts["adapter"]
    assert held == 2 * both
    assert estimate_memory(_8B, saved).confidence == "low"


def test_an_unknown_architecture_widens_the_interval() -> None:
    config = {**KNOWN_MODELS["meta-llama/Llama-3.1-8B"], "model_type": "nobody"}
    found = estimate_memory(ModelShape.from_config(config), _LORA)
    assert found.confidence == "low"
    assert found.high > 1.4 * found.expected


def test_an_estimate_takes_less_than_a_millisecond_of_cpu() -> None:
    estimate_memory(_8B, _LORA)
    begin = time.process_time()
    for _ in range(200):
        estimate_memory(_8B, _LORA)
    assert (time.process_time() - begin) / 200 < 0.001
