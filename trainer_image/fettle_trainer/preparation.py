"""The model that is trained: the base in the right dtype or quantized, with a LoRA adapter or without."""

from pathlib import Path
from typing import Any

from fettle_schema.adapter_parameters import AdapterParameters, AdapterType, QuantizationSpec
from fettle_schema.vocabulary import ExitCode
from fettle_trainer.devices import Precision, torch_dtype
from fettle_trainer.failures import TrainerFailure, configuration_failure
from fettle_trainer.models import BaseModel, load_causal_model
from fettle_trainer.starting_point import published_adapter
from fettle_trainer.training_run import Run

_DTYPES = {"bfloat16": "bf16", "float16": "fp16", "float32": "fp32"}


def prepare_model(run: Run, base: BaseModel, precision: Precision) -> Any:
    """A PeftModel of which only the adapter is trained; for `adapter.type` none, the base model itself."""
    adapter, attention = run.config.adapter, run.config.hyperparameters.attention
    if adapter.type is AdapterType.NONE:
        # Weights that are trained are kept in fp32 and computed with in `precision`: bf16 loses small updates.
        return load_causal_model(base, "fp32", attention)
    if adapter.type is AdapterType.QLORA:
        quantization = adapter.quantization or QuantizationSpec()
        compute: Any = _DTYPES.get(quantization.compute_dtype, precision)
        config = quantization_config(quantization, compute, uses_gpu=run.config.topology.uses_gpu)
        model = load_causal_model(base, compute, attention, config)
    else:
        model = load_causal_model(base, precision, attention)
    if run.config.start is not None and run.config.start.adapter_path is not None:
        return _continue_adapter(run, model, published_adapter(run.files.workspace, run.config.start.adapter_path))
    return add_adapter(model, adapter)


def load_reference(run: Run, base: BaseModel, precision: Precision) -> Any:
    """The frozen base for preference losses, where there is no adapter that could be switched off."""
    reference = load_causal_model(base, precision, run.config.hyperparameters.attention)
    return reference.requires_grad_(False).eval()


def quantization_config(spec: QuantizationSpec, compute: Precision, *, uses_gpu: bool) -> Any:
    """bitsandbytes' settings for the frozen base."""
    from transformers import BitsAndBytesConfig

    if not uses_gpu:
        import bitsandbytes

        # On CPUs with AVX512_BF16 its fast path leaves evaluation and merge with garbage (0.50).
        bitsandbytes.nn.modules.has_avx512bf16 = lambda: False
    if spec.bits == 8:
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=spec.type,
        bnb_4bit_use_double_quant=spec.double_quantization,
        bnb_4bit_compute_dtype=torch_dtype(compute),
    )


def add_adapter(model: Any, adapter: AdapterParameters) -> Any:
    """A new LoRA adapter on `model`; TrainerFailure (64) names modules that it does not have."""
    from peft import LoraConfig, get_peft_model

    wanted = adapter.target_modules or ["all-linear"]
    config = LoraConfig(
        task_type="CAUSAL_LM",
        r=adapter.rank or 16,
        lora_alpha=adapter.alpha or 32.0,
        lora_dropout=adapter.dropout or 0.0,
        target_modules=linear_layer_names(model) if wanted == ["all-linear"] else wanted,
        modules_to_save=adapter.modules_to_save,
        ensure_weight_tying=bool(adapter.modules_to_save) and bool(model.config.tie_word_embeddings),
        bias=adapter.bias or "none",
        use_dora=bool(adapter.use_dora),
        use_rslora=bool(adapter.use_rslora),
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        raise TrainerFailure(
            ExitCode.CONFIGURATION,
            f"spec.adapter.targetModules: {wanted}: {str(error)[:500]}",
            f"Use all-linear, or names of this model's linear layers: {', '.join(linear_layer_names(model))[:500]}.",
        ) from error


def linear_layer_names(model: Any) -> list[str]:
    """Last parts of the names of all linear layers but the head: what `all-linear` means.

    PEFT would write out the full name of each layer, hundreds of them, into adapter_config.json.
    """
    import torch

    head = model.get_output_embeddings()
    layers = (
        name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear) and module is not head
    )
    return sorted({name.rpartition(".")[2] for name in layers})


def _continue_adapter(run: Run, model: Any, path: Path) -> Any:
    """A published adapter, trained on; what it is made of is in its own configuration."""
    from peft import PeftModel

    try:
        adapted = PeftModel.from_pretrained(model, str(path), is_trainable=True)
    except (RuntimeError, ValueError) as error:
        raise configuration_failure(
            "spec.startFrom.adapter", f"does not fit the base model: {str(error)[:500]}", "Use the base it was made on."
        ) from error
    found, asked = adapted.peft_config["default"], run.config.adapter
    if asked.rank not in (None, found.r):
        run.progress.warn(f"spec.adapter.rank {asked.rank} is not used: the adapter that is continued has {found.r}")
    return adapted
