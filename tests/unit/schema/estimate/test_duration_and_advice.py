"""Time, what fits, and what it costs."""

from dataclasses import replace

import pytest

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.advice import advise, cost, fits, largest_micro_batch, smallest_gpu
from fettle_schema.estimate.duration import (
    Measurement,
    flops_per_token,
    forward_flops,
    measured_speed,
    prior_speed,
    training_duration,
    training_tokens,
)
from fettle_schema.estimate.errors import EstimateError
from fettle_schema.estimate.gpus import gpu_named
from fettle_schema.estimate.job_estimate import KnownFacts, estimate_job
from fettle_schema.estimate.known_models import KNOWN_MODELS
from fettle_schema.estimate.memory import estimate_memory
from fettle_schema.estimate.memory_settings import MemorySettings
from fettle_schema.estimate.shape import ModelShape
from fettle_schema.training_job import Method, TrainingJobSpec

_CONFIG = KNOWN_MODELS["meta-llama/Llama-3.1-8B"]
_8B = ModelShape.from_config(_CONFIG)
_LORA = MemorySettings()
_FULL = MemorySettings(adapter=AdapterType.NONE)
_H100 = gpu_named("h100-80")


def test_flops_of_a_forward_pass_are_two_for_each_weight_and_attention() -> None:
    weights = _8B.parameters - _8B.embedding_parameters - (2 * 32 + 1) * 4096
    assert forward_flops(_8B, 0) == 2 * weights
    assert forward_flops(_8B, 1000) - forward_flops(_8B, 0) == 2 * 32 * 4096 * 1000


def test_flops_follow_the_method() -> None:
    forward = forward_flops(_8B, 1024)
    plain = replace(_LORA, checkpointing=False)
    assert flops_per_token(_8B, replace(_FULL, checkpointing=False)) == 3 * forward
    assert 2 * forward < flops_per_token(_8B, plain) < 2.1 * forward
    assert flops_per_token(_8B, replace(plain, method=Method.DPO)) == flops_per_token(_8B, plain) + forward
    assert flops_per_token(_8B, _LORA) > flops_per_token(_8B, plain)


def test_a_prior_says_that_it_is_one() -> None:
    speed = prior_speed(_8B, _LORA, _H100)
    assert speed.low < speed.expected < speed.high < _H100.peak_flops / (2 * _8B.parameters)
    assert speed.source == "prior"
    assert "nothing measured" in speed.label


def _measured(tokens_per_second: float, **changes: object) -> Measurement:
    return replace(Measurement("h100-80", "m", Method.SFT, AdapterType.LORA, tokens_per_second), **changes)  # type: ignore[arg-type]


def test_measurements_of_the_same_kind_replace_the_prior() -> None:
    others = [_measured(1, gpu="l4-24"), _measured(1, model="n"), _measured(1, method=Method.DPO)]
    assert measured_speed(others, gpu="h100-80", model="m", settings=_LORA) is None
    same = [_measured(100), _measured(300, processes=2), _measured(120)]
    speed = measured_speed([*others, *same], gpu="h100-80", model="m", settings=_LORA)
    assert speed is not None
    assert speed.source == "measured"
    assert (speed.low, speed.expected, speed.high) == (100, 120, 150)
    assert "n=3" in speed.label
    assert "spread 42%" in speed.label


def test_a_single_measurement_keeps_an_interval() -> None:
    speed = measured_speed([_measured(100)], gpu="h100-80", model="m", settings=replace(_LORA, processes=2))
    assert speed is not None
    assert (speed.low, speed.expected, speed.high) == (140, 200, 260)


def test_tokens_count_pairs_twice_and_never_more_than_allowed() -> None:
    assert training_tokens(_LORA, 10, 2.0) == 20 * 1024
    assert training_tokens(replace(_LORA, method=Method.DPO), 10, 1.0, mean_length=100) == 2000
    assert training_tokens(_LORA, 10, 1.0, mean_length=9999) == 10 * 1024


def test_the_largest_micro_batch_is_the_largest() -> None:
    size = largest_micro_batch(_8B, _LORA, _H100)
    assert fits(estimate_memory(_8B, replace(_LORA, batch_size=size)), _H100)
    assert not fits(estimate_memory(_8B, replace(_LORA, batch_size=size + 1)), _H100)
    assert largest_micro_batch(_8B, _FULL, _H100) == 0


@pytest.mark.parametrize(
    ("settings", "gpu", "words"),
    [
        (_LORA, "h100-80", ()),
        (replace(_LORA, checkpointing=False), "a100-40", ("hyperparameters.gradientCheckpointing: true",)),
        (_LORA, "t4-16", ("adapter.type: qlora",)),
        (_FULL, "h100-80", ("adapter.type: lora",)),
        (replace(_FULL, batch_size=1, length=512), "h200-141", ("hyperparameters.optimizer: adamw_torch_fused",)),
    ],
)
def test_the_first_change_that_is_enough_is_advised(settings: MemorySettings, gpu: str, words: tuple[str, ...]) -> None:
    found = advise(_8B, settings, gpu_named(gpu))
    assert found.fits is (not words)
    assert found.changes == words


def test_a_smaller_micro_batch_is_advised_with_more_accumulation() -> None:
    found = advise(_8B, replace(_LORA, batch_size=64, length=4096), gpu_named("a100-80"))
    assert "hyperparameters.batchSize" in found.changes[-1]
    assert "gradientAccumulationSteps" in found.changes[-1]


def test_the_smallest_sufficient_gpu_is_found_or_none() -> None:
    smallest = smallest_gpu(_8B, _LORA)
    assert smallest is not None
    assert smallest.memory_bytes < 25 * 2**30
    assert smallest_gpu(ModelShape.from_config(KNOWN_MODELS["meta-llama/Llama-3.1-70B"]), _FULL) is None


def test_gpu_hours_have_a_price_only_where_the_table_has_one() -> None:
    duration = training_duration(prior_speed(_8B, _LORA, _H100), 1_000_000)
    paid = cost(duration, 4, "h100-80", {"h100-80": 2.5})
    assert paid.gpu_hours == pytest.approx(4 * duration.expected / 3600)
    assert paid.amount == pytest.approx(2.5 * paid.gpu_hours)
    assert cost(duration, 4, "l4-24", {"h100-80": 2.5}).amount is None


def test_an_unknown_gpu_is_answered_with_the_table() -> None:
    with pytest.raises(EstimateError, match="h100-80"):
        gpu_named("h100")


def test_a_whole_job_is_judged() -> None:
    spec = TrainingJobSpec.model_validate({"baseModel": {"id": "m"}, "hyperparameters": {"epochs": 1}})
    found = estimate_job(spec, _CONFIG, gpu=_H100, known=KnownFacts(examples=100, prices={"h100-80": 2.0})).manifest()
    assert found["parameters"] == 8_030_261_248
    assert found["trainedParameters"] == 41_943_040
    assert found["time"]["tokens"] == 102_400
    assert found["time"]["source"] == "prior"
    assert found["advice"]["fits"]
    assert found["cost"]["amount"] is not None
    assert "time" not in estimate_job(spec, _CONFIG, gpu=_H100).manifest()


def test_old_gpus_compute_in_fp16_and_untrained_methods_are_refused() -> None:
    spec = TrainingJobSpec.model_validate({"baseModel": {"id": "m"}})
    assert estimate_job(spec, _CONFIG, gpu=gpu_named("t4-16")).settings.precision == "fp16"
    with pytest.raises(EstimateError, match=r"spec\.method"):
        estimate_job(TrainingJobSpec.model_validate({"baseModel": {"id": "m"}, "method": "merge"}), _CONFIG)
