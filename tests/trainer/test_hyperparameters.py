"""Every hyperparameter arrives: what TRL, the optimizer, PEFT or the batch is given changes with it."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fettle_schema.adapter_parameters import AdapterParameters
from fettle_schema.defaults import METHODS_WITH
from fettle_schema.hyperparameters import Hyperparameters
from fettle_schema.training_job import Method
from tests.support.built_trainer import built, settings_of

TRAINING_METHODS = [method for method in Method if method not in (Method.MERGE, Method.BENCHMARK)]


@dataclass(frozen=True)
class Case:
    """A value, and where it must be found in the trainer."""

    value: Any
    find: Callable[[Any], Any]
    expected: Any = None

    @property
    def sought(self) -> Any:
        """What must be found: the value itself, if nothing else is expected."""
        return self.value if self.expected is None else self.expected


def argument(name: str, value: Any) -> Case:
    return Case(value, lambda trainer: getattr(trainer.args, name))


def group(name: str, value: Any) -> Case:
    def find(trainer: Any) -> Any:
        trainer.create_optimizer_and_scheduler(10)
        found = trainer.optimizer.param_groups[0][name]
        return found[0 if name == "betas" else 1] if isinstance(found, tuple) else found

    return Case(value, find)


def longest(trainer: Any) -> int:
    batch = next(iter(trainer.get_train_dataloader()))
    return max(value.shape[1] for name, value in batch.items() if name.endswith("input_ids") and "KL" not in name)


def trained_tokens(trainer: Any) -> int:
    return int((next(iter(trainer.get_train_dataloader()))["labels"] != -100).sum())


CASES: dict[str, Case] = {
    "epochs": argument("num_train_epochs", 2.5),
    "maxSteps": argument("max_steps", 7),
    "batchSize": argument("per_device_train_batch_size", 3),
    "evalBatchSize": Case(2, lambda trainer: trainer.args.per_device_eval_batch_size),
    "gradientAccumulationSteps": argument("gradient_accumulation_steps", 5),
    "learningRate": group("initial_lr", 0.03),
    "optimizer": Case("sgd", lambda trainer: type(trainer.create_optimizer()).__name__, "SGD"),
    "scheduler": argument("lr_scheduler_type", "polynomial"),
    "warmupRatio": argument("warmup_steps", 0.25),
    "warmupSteps": argument("warmup_steps", 3),
    "weightDecay": argument("weight_decay", 0.125),
    "maxGradNorm": argument("max_grad_norm", 0.25),
    "adamBeta1": argument("adam_beta1", 0.8),
    "adamBeta2": argument("adam_beta2", 0.95),
    "adamEpsilon": argument("adam_epsilon", 1e-6),
    "maxLength": Case(40, longest),
    "maxPromptLength": Case(9, lambda trainer: max(len(row) for row in trainer.train_dataset["prompt_input_ids"])),
    "beta": Case(0.7, lambda trainer: trainer.beta),
    "labelSmoothing": Case(0.2, lambda trainer: trainer.label_smoothing),
    "desirableWeight": Case(1.5, lambda trainer: trainer.desirable_weight),
    "undesirableWeight": Case(2.5, lambda trainer: trainer.undesirable_weight),
    "cpoAlpha": Case(0.3, lambda trainer: trainer.cpo_alpha),
    "simpoGamma": Case(0.9, lambda trainer: trainer.simpo_gamma),
    "packing": Case(True, lambda trainer: "position_ids" in trainer.train_dataset.column_names),
    "gradientCheckpointing": argument("gradient_checkpointing", True),
    "precision": Case("bf16", lambda trainer: str(next(trainer.model.parameters()).dtype), "torch.bfloat16"),
    "attention": Case("eager", lambda trainer: trainer.model.config._attn_implementation),
    "loggingSteps": argument("logging_steps", 4),
    "evaluationSteps": argument("eval_steps", 3.0),
    "neftuneNoiseAlpha": argument("neftune_noise_alpha", 5.0),
    "seed": argument("seed", 1234),
}

ALONE = {"epochs", "warmupRatio", "packing", "maxPromptLength"}
"""Tried apart from the others, because they exclude one of them, or hide it."""

INSTEAD_OF = {"epochs": ("maxSteps",), "warmupRatio": ("warmupSteps",), "maxSteps": ("epochs",)}

ELSEWHERE = {
    "learningRateMultiplier": "resolved into learningRate before a RunConfig is written (fettle_schema.defaults)",
    "assistantOnlyLoss": "test_loss_on_everything_trains_more_tokens",
}

ADAPTER_CASES: dict[str, Case] = {
    "rank": Case(2, lambda trainer: trainer.model.peft_config["default"].r),
    "alpha": Case(5.0, lambda trainer: trainer.model.peft_config["default"].lora_alpha),
    "dropout": Case(0.3, lambda trainer: dropout_of(trainer.model)),
    "targetModules": Case(["q_proj"], lambda trainer: sorted(trainer.model.peft_config["default"].target_modules)),
    "modulesToSave": Case(
        ["embed_tokens"], lambda trainer: "embed_tokens" in trainer.model.peft_config["default"].modules_to_save, True
    ),
    "bias": Case("lora_only", lambda trainer: trainer.model.peft_config["default"].bias),
    "useDora": Case(True, lambda trainer: any("magnitude" in name for name, _ in trainer.model.named_parameters())),
    "useRslora": Case(True, lambda trainer: math.isclose(scaling_of(trainer.model), 8 / math.sqrt(4)), True),
}


def dropout_of(model: Any) -> float:
    found = {module.lora_dropout["default"].p for module in model.modules() if hasattr(module, "lora_dropout")}
    (value,) = found
    return float(value)


def scaling_of(model: Any) -> float:
    layers = [module.scaling for module in model.modules() if hasattr(module, "lora_A")]
    (value,) = {scaling["default"] for scaling in layers}
    return float(value)


def test_the_tables_name_every_field() -> None:
    from fettle_schema.base import Model

    def names(model: type[Model]) -> set[str]:
        return {field.alias or name for name, field in model.model_fields.items()}

    assert set(CASES) | set(ELSEWHERE) == names(Hyperparameters)
    assert set(ADAPTER_CASES) | {"type", "quantization"} == names(AdapterParameters)


@pytest.mark.parametrize("method", TRAINING_METHODS)
def test_every_hyperparameter_arrives(workspace: Path, method: Method) -> None:
    cases = {name: case for name, case in CASES.items() if method in METHODS_WITH.get(name, TRAINING_METHODS)}
    lost = []
    for part in (set(cases) - ALONE, set(cases) & ALONE):
        settings = {name: cases[name].value for name in part}
        instead = {other: None for name in part for other in INSTEAD_OF.get(name, ())}
        with built(workspace, method, hyperparameters={**settings_of(method), **instead, **settings}) as trainer:
            for name in sorted(part):
                found, expected = cases[name].find(trainer), cases[name].sought
                if found != expected:
                    lost.append(f"{name}: {found!r} instead of {expected!r}")
    assert lost == []


@pytest.mark.parametrize("name", ADAPTER_CASES)
def test_every_parameter_of_the_adapter_arrives(workspace: Path, name: str) -> None:
    case = ADAPTER_CASES[name]
    with built(workspace, Method.SFT, adapter={name: case.value}) as trainer:
        assert case.find(trainer) == case.sought


def test_loss_on_everything_trains_more_tokens(workspace: Path) -> None:
    with built(workspace, Method.SFT, hyperparameters={"assistantOnlyLoss": True}) as trainer:
        answers = trained_tokens(trainer)
    with built(workspace, Method.SFT, hyperparameters={"assistantOnlyLoss": False}) as trainer:
        assert trained_tokens(trainer) > answers
