"""Dimensions and counts of parameters, from configurations."""

from typing import Any

import pytest

from fettle_schema.estimate.errors import EstimateError, MissingKeyError, UnsupportedModelError
from fettle_schema.estimate.known_models import KNOWN_MODELS
from fettle_schema.estimate.shape import ModelShape

_LLAMA: dict[str, Any] = {**KNOWN_MODELS["meta-llama/Llama-3.1-8B"]}

_COUNTS = {
    "meta-llama/Llama-3.1-8B": 8_030_261_248,
    "meta-llama/Llama-3.1-70B": 70_553_706_496,
    "meta-llama/Llama-3.2-1B": 1_235_814_400,
    "meta-llama/Llama-3.2-3B": 3_212_749_824,
    "mistralai/Mistral-7B-v0.3": 7_248_023_552,
    "Qwen/Qwen2.5-0.5B-Instruct": 494_032_768,
    "Qwen/Qwen2.5-1.5B-Instruct": 1_543_714_304,
    "Qwen/Qwen2.5-7B": 7_615_616_512,
    "Qwen/Qwen3-0.6B": 596_049_920,
    "Qwen/Qwen3-8B": 8_190_735_360,
    "google/gemma-2b": 2_506_172_416,
    "google/gemma-2-2b": 2_614_341_888,
    "HuggingFaceTB/SmolLM2-135M-Instruct": 134_515_008,
}


@pytest.mark.parametrize(("name", "count"), _COUNTS.items())
def test_parameters_are_counted_exactly(name: str, count: int) -> None:
    assert ModelShape.from_config(KNOWN_MODELS[name]).parameters == count


def test_every_bundled_configuration_is_understood() -> None:
    for config in KNOWN_MODELS.values():
        shape = ModelShape.from_config(config)
        assert shape.confidence == ("medium" if shape.model_type == "gemma2" else "high")


@pytest.mark.parametrize(
    ("rank", "targets", "count"),
    [
        (16, ["all-linear"], 41_943_040),
        (32, ["all-linear"], 83_886_080),
        (16, ["q_proj", "v_proj"], 6_815_744),
        (16, ["model.layers.q_proj", "v_proj"], 6_815_744),
        (8, ["lm_head"], 8 * (4096 + 128256)),
    ],
)
def test_adapter_parameters_are_counted_exactly(rank: int, targets: list[str], count: int) -> None:
    assert ModelShape.from_config(_LLAMA).lora_parameters(rank, targets) == count


@pytest.mark.parametrize(
    "key", ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"]
)
@pytest.mark.parametrize("value", [None, "many", 0, -1, True, 4.5])
def test_a_missing_key_is_named(key: str, value: object) -> None:
    with pytest.raises(MissingKeyError, match=key):
        ModelShape.from_config({**_LLAMA, key: value})


def test_optional_keys_have_the_models_own_defaults() -> None:
    shape = ModelShape.from_config({**_LLAMA, "num_key_value_heads": None})
    assert (shape.kv_heads, shape.head_size) == (32, 128)
    with pytest.raises(EstimateError, match="no multiple"):
        ModelShape.from_config({**_LLAMA, "num_attention_heads": 33})


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_type": "mixtral", "num_local_experts": 8}, "mixture of experts .num_local_experts"),
        ({"model_type": "qwen3_moe", "num_experts": 128}, "mixture of experts"),
        ({"model_type": "qwen3_next", "layer_types": ["linear_attention", "full_attention"]}, "linear_attention"),
        ({"model_type": "jamba", "attn_layer_period": 8}, "hybrid attention"),
        ({"model_type": "deepseek_v2", "kv_lora_rank": 512}, "latent attention"),
        ({"model_type": "llava", "vision_config": {"a": 1}}, "vision_config"),
        ({"model_type": "t5", "is_encoder_decoder": True}, "encoder-decoder"),
        ({"quantization_config": {"bits": 4}}, "quantized already"),
    ],
)
def test_what_the_formulas_do_not_hold_for_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UnsupportedModelError, match=words):
        ModelShape.from_config({**_LLAMA, **changes})


def test_an_unknown_model_type_lowers_the_confidence() -> None:
    shape = ModelShape.from_config({**_LLAMA, "model_type": "nobody"})
    assert shape.confidence == "low"
    assert "nobody" in shape.notes[0]


def test_an_unknown_target_is_named_with_what_there_is() -> None:
    with pytest.raises(EstimateError, match=r"spec.adapter.targetModules: .*'c_attn'.*q_proj"):
        ModelShape.from_config(_LLAMA).targets(["q_proj", "c_attn"])
