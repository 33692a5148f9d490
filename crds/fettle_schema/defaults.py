"""Defaults that depend on method and adapter: one table, used when a RunConfig is built.

Defaults that are good for every method stand in the models and in the CRD. `status.resolved.hyperparameters` shows the
outcome of both.
"""

from dataclasses import dataclass

from fettle_schema.adapter_parameters import AdapterParameters, AdapterType, QuantizationSpec
from fettle_schema.hyperparameters import Hyperparameters
from fettle_schema.training_job import Method, TrainingJobSpec

PREFERENCE_METHODS = frozenset({Method.DPO, Method.IPO, Method.ORPO, Method.KTO, Method.CPO, Method.SIMPO})

METHODS_WITH: dict[str, frozenset[Method]] = {
    "beta": PREFERENCE_METHODS,
    "maxPromptLength": frozenset({Method.ORPO, Method.CPO, Method.SIMPO}),
    "labelSmoothing": frozenset({Method.DPO, Method.CPO}),
    "desirableWeight": frozenset({Method.KTO}),
    "undesirableWeight": frozenset({Method.KTO}),
    "cpoAlpha": frozenset({Method.CPO, Method.SIMPO}),
    "simpoGamma": frozenset({Method.SIMPO}),
    "packing": frozenset({Method.SFT}),
    "assistantOnlyLoss": frozenset({Method.SFT}),
    "neftuneNoiseAlpha": frozenset({Method.SFT}),
}
"""Hyperparameters that only some methods have."""


@dataclass(frozen=True)
class MethodDefaults:
    """What a method uses where the spec is silent. Learning rates are for LoRA and for full fine-tuning."""

    learning_rate: float
    learning_rate_full: float
    beta: float | None = None


METHOD_DEFAULTS: dict[Method, MethodDefaults] = {
    Method.SFT: MethodDefaults(2e-4, 2e-5),
    Method.DPO: MethodDefaults(1e-5, 1e-6, beta=0.1),
    Method.IPO: MethodDefaults(1e-5, 1e-6, beta=0.1),
    Method.ORPO: MethodDefaults(1e-5, 5e-6, beta=0.1),
    Method.KTO: MethodDefaults(1e-5, 1e-6, beta=0.1),
    Method.CPO: MethodDefaults(1e-5, 1e-6, beta=0.1),
    Method.SIMPO: MethodDefaults(1e-5, 1e-6, beta=2.0),
}

DEFAULT_EPOCHS = 3.0
DEFAULT_WARMUP_RATIO = 0.03
DEFAULT_MAX_LENGTH = 1024
DEFAULT_MAX_PROMPT_LENGTH = 512
DEFAULT_RANK = 16
DEFAULT_DROPOUT = 0.05


def resolve_adapter(spec: TrainingJobSpec) -> AdapterParameters:
    """The adapter's parameters with nothing left open; for `none`, only the type."""
    given = spec.adapter
    if given.type is AdapterType.NONE:
        return AdapterParameters(type=AdapterType.NONE)
    rank = given.rank or DEFAULT_RANK
    return AdapterParameters(
        type=given.type,
        rank=rank,
        alpha=given.alpha if given.alpha is not None else 2.0 * rank,
        dropout=given.dropout if given.dropout is not None else DEFAULT_DROPOUT,
        target_modules=given.target_modules or ["all-linear"],
        modules_to_save=given.modules_to_save,
        bias=given.bias or "none",
        use_dora=bool(given.use_dora),
        use_rslora=bool(given.use_rslora),
        quantization=(given.quantization or QuantizationSpec()) if given.type is AdapterType.QLORA else None,
    )


def resolve_hyperparameters(spec: TrainingJobSpec) -> Hyperparameters:
    """All hyperparameters that the method has, with nothing left open that does not depend on the hardware.

    `precision`, `attention`, `gradientCheckpointing` and `assistantOnlyLoss` may stay open: they depend on the machine
    and on the data, and the trainer decides and reports them.
    """
    given, method = spec.hyperparameters, spec.method
    changes: dict[str, object] = {"eval_batch_size": given.eval_batch_size or given.batch_size}
    if given.epochs is None and given.max_steps is None:
        changes["epochs"] = DEFAULT_EPOCHS
    if given.warmup_ratio is None and given.warmup_steps is None:
        changes["warmup_ratio"] = DEFAULT_WARMUP_RATIO
    if given.optimizer is None:
        # transformers' own default since torch 2.8; the other one needs another copy of the gradients at work. On the
        # CPU both need the same, and resuming is proven bit-equal with the plain one.
        changes["optimizer"] = "adamw_torch_fused" if spec.resources.gpus_per_node else "adamw_torch"
    if given.max_length is None:
        changes["max_length"] = DEFAULT_MAX_LENGTH
    table = METHOD_DEFAULTS.get(method)
    if table is not None:
        full = spec.adapter.type is AdapterType.NONE
        usual = table.learning_rate_full if full else table.learning_rate
        changes["learning_rate"] = given.learning_rate or usual * (given.learning_rate_multiplier or 1.0)
        changes["learning_rate_multiplier"] = None
        if given.beta is None:
            changes["beta"] = table.beta
    if method in METHODS_WITH["maxPromptLength"] and given.max_prompt_length is None:
        changes["max_prompt_length"] = DEFAULT_MAX_PROMPT_LENGTH
    if method is Method.KTO:
        changes["desirable_weight"] = given.desirable_weight or 1.0
        changes["undesirable_weight"] = given.undesirable_weight or 1.0
    if method is Method.SIMPO:
        changes["simpo_gamma"] = 0.5 if given.simpo_gamma is None else given.simpo_gamma
    if method in METHODS_WITH["cpoAlpha"] and given.cpo_alpha is None:
        changes["cpo_alpha"] = 0.0 if method is Method.SIMPO else 1.0
    if method is Method.SFT:
        changes["packing"] = bool(given.packing)
    return given.model_copy(update=changes)
