"""What the spec leaves open is filled in by method and adapter."""

from typing import Any

import pytest

from fettle_schema.defaults import METHODS_WITH, resolve_adapter, resolve_hyperparameters
from fettle_schema.training_job import Method, TrainingJobSpec


def spec(method: str = "sft", **fields: Any) -> TrainingJobSpec:
    values = {"method": method, "baseModel": {"path": "m"}, "dataset": {"source": {"workspace": {"path": "d"}}}}
    return TrainingJobSpec.model_validate({**values, **fields})


@pytest.mark.parametrize(
    ("method", "adapter", "learning_rate", "beta"),
    [
        ("sft", "lora", 2e-4, None),
        ("sft", "none", 2e-5, None),
        ("dpo", "lora", 1e-5, 0.1),
        ("simpo", "qlora", 1e-5, 2.0),
    ],
)
def test_learning_rate_and_beta_follow_method_and_adapter(
    method: str, adapter: str, learning_rate: float, beta: float | None
) -> None:
    resolved = resolve_hyperparameters(spec(method, adapter={"type": adapter}))
    assert (resolved.learning_rate, resolved.beta) == (learning_rate, beta)


def test_what_was_given_is_kept() -> None:
    given = {"learningRate": 1e-3, "epochs": 1, "warmupSteps": 5, "maxLength": 64, "optimizer": "sgd"}
    resolved = resolve_hyperparameters(spec(hyperparameters=given))
    assert given.items() <= resolved.manifest().items()
    assert resolved.warmup_ratio is None


def test_a_multiplier_is_applied_to_the_usual_rate() -> None:
    resolved = resolve_hyperparameters(spec(hyperparameters={"learningRateMultiplier": 2}))
    assert resolved.learning_rate == pytest.approx(4e-4)


@pytest.mark.parametrize(("gpus", "optimizer"), [(1, "adamw_torch_fused"), (0, "adamw_torch")])
def test_the_optimizer_needs_no_second_copy_of_the_gradients_on_a_gpu(gpus: int, optimizer: str) -> None:
    assert resolve_hyperparameters(spec(resources={"gpusPerNode": gpus})).optimizer == optimizer


def test_steps_leave_epochs_open() -> None:
    assert resolve_hyperparameters(spec(hyperparameters={"maxSteps": 5})).epochs is None
    assert resolve_hyperparameters(spec()).epochs == 3


@pytest.mark.parametrize("method", [method for method in Method if method not in ("merge", "benchmark")])
def test_no_method_gets_a_hyperparameter_that_it_does_not_have(method: Method) -> None:
    resolved = resolve_hyperparameters(spec(method, hyperparameters={"batchSize": 2})).manifest()
    for name, methods in METHODS_WITH.items():
        assert method in methods or name not in resolved


def test_an_adapter_is_resolved_whole() -> None:
    adapter = resolve_adapter(spec(adapter={"rank": 8}))
    assert (adapter.rank, adapter.alpha, adapter.dropout, adapter.target_modules) == (8, 16, 0.05, ["all-linear"])
    assert adapter.quantization is None
    assert resolve_adapter(spec(adapter={"type": "qlora"})).quantization is not None
    assert resolve_adapter(spec(adapter={"type": "none"})).rank is None


def test_resolving_twice_changes_nothing() -> None:
    once = spec(hyperparameters=resolve_hyperparameters(spec()).manifest())
    assert resolve_hyperparameters(once) == once.hyperparameters
