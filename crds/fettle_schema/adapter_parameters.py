"""`spec.adapter` of a TrainingJob: which weights are trained."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field

from fettle_schema.base import Model


class QuantizationSpec(Model):
    """How the frozen base model is stored in memory (bitsandbytes)."""

    bits: Literal[4, 8] = 4
    """4 or 8 bits for each weight."""
    type: Literal["nf4", "fp4"] = "nf4"
    """Data type of 4-bit weights."""
    double_quantization: bool = True
    """Quantize the scales too (4 bits only)."""
    compute_dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    """What the weights are expanded to for a multiplication."""


ModuleName = Annotated[str, Field(min_length=1, max_length=128)]


class AdapterType(StrEnum):
    """Which weights are trained."""

    LORA = "lora"
    QLORA = "qlora"
    NONE = "none"


class AdapterParameters(Model):
    """Which weights are trained: a LoRA adapter, one over a quantized base, or all of them (`none`)."""

    type: AdapterType = AdapterType.LORA
    """`lora`, `qlora` (quantized base), or `none` for full fine-tuning."""
    rank: Annotated[int, Field(ge=1, le=1024)] | None = None
    """Rank of the two factors. 16 if absent."""
    alpha: Annotated[float, Field(gt=0, le=4096)] | None = None
    """The adapter is scaled by alpha / rank. Twice the rank if absent."""
    dropout: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Dropout before the first factor. 0.05 if absent."""
    target_modules: Annotated[list[ModuleName], Field(min_length=1, max_length=64)] | None = None
    """Names of linear layers, or the single item `all-linear` (the value if absent)."""
    modules_to_save: Annotated[list[ModuleName], Field(max_length=16)] | None = None
    """Modules that are trained whole and saved with the adapter."""
    bias: Literal["none", "all", "lora_only"] | None = None
    """Which biases are trained. `none` if absent."""
    use_dora: bool | None = None
    """Weight-decomposed LoRA."""
    use_rslora: bool | None = None
    """Scale by alpha / sqrt(rank)."""
    quantization: QuantizationSpec | None = None
    """For `qlora`; 4-bit nf4 with double quantization if absent."""
