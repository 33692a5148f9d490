"""What memory depends on besides the model: the settings of one job, as the trainer will use them. Pure."""

from dataclasses import dataclass
from typing import Literal

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.defaults import resolve_adapter, resolve_hyperparameters
from fettle_schema.training_job import Method, TrainingJobSpec

Precision = Literal["bf16", "fp16", "fp32"]
Device = Literal["gpu", "cpu"]

PAIRED_METHODS = frozenset({Method.DPO, Method.IPO, Method.ORPO, Method.CPO, Method.SIMPO})
"""Chosen and rejected answer go through the model together: twice the rows of a micro-batch."""
REFERENCE_METHODS = frozenset({Method.DPO, Method.IPO, Method.KTO})
"""Compared with a reference: the base without adapter, or for full fine-tuning a frozen copy."""
MATERIALIZED_METHODS = frozenset({Method.ORPO, Method.CPO, Method.SIMPO})
"""TRL's trainers of these hold the logits of all positions; the others have its fused head."""


@dataclass(frozen=True)
class MemorySettings:
    """One process of a job."""

    method: Method = Method.SFT
    adapter: AdapterType = AdapterType.LORA
    rank: int = 16
    target_modules: tuple[str, ...] = ("all-linear",)
    dropout: float = 0.05
    modules_to_save: tuple[str, ...] = ()
    use_dora: bool = False
    quantization_bits: Literal[4, 8] | None = None
    double_quantization: bool = True
    optimizer: str = "adamw_torch"
    batch_size: int = 4
    """Examples of one micro-batch; pairs count as one."""
    length: int = 1024
    """Tokens of the longest example."""
    packing: bool = False
    checkpointing: bool = True
    precision: Precision = "bf16"
    """What is computed in."""
    trained_precision: Precision = "fp32"
    """What trained weights are kept in: the trainer's are fp32."""
    autocast: bool = True
    """Whether operations cast their inputs to `precision`, as transformers' Trainer does."""
    fused_head: bool = True
    """Whether logits are made in tiles."""
    labelled_share: float = 1.0
    """Share of the positions that carry loss."""
    device: Device = "gpu"
    processes: int = 1
    """Processes in all; more than one train by DDP, each with the whole model."""
    attention: Literal["auto", "eager", "sdpa", "flash_attention_2"] = "auto"

    @property
    def rows(self) -> int:
        """Sequences that go through the model at once."""
        return self.batch_size * (2 if self.method in PAIRED_METHODS else 1)

    @property
    def tokens(self) -> int:
        """Positions that go through the model at once, padding included."""
        return self.rows * self.length

    @property
    def has_mask(self) -> bool:
        """Whether attention is given a mask: a single unpadded sequence needs none, packed ones need theirs."""
        return self.rows > 1 or self.packing

    @property
    def uses_autocast(self) -> bool:
        """Autocast to fp32 does nothing."""
        return self.autocast and self.precision != "fp32"

    @property
    def has_reference_copy(self) -> bool:
        """Whether a frozen copy of the base model lies beside the one that is trained."""
        return self.method in REFERENCE_METHODS and self.adapter is AdapterType.NONE


def memory_settings(
    spec: TrainingJobSpec,
    *,
    precision: Precision | None = None,
    length: int | None = None,
    labelled_share: float = 1.0,
) -> MemorySettings:
    """The settings that a job leads to.

    `precision` is what `auto` means on the machine; if not given, bf16 on a GPU, and fp32 on a CPU, where few have
    bf16. `length` is the longest example if the dataset is known to have none as long as `maxLength`; `labelled_share`
    is the share of tokens that carry loss.
    """
    adapter, hyperparameters = resolve_adapter(spec), resolve_hyperparameters(spec)
    on_gpu = spec.resources.gpus_per_node > 0
    quantization = adapter.quantization
    checkpointing = hyperparameters.gradient_checkpointing
    usual: Precision = precision or ("bf16" if on_gpu else "fp32")
    return MemorySettings(
        method=spec.method,
        adapter=adapter.type,
        rank=adapter.rank or 0,
        target_modules=tuple(adapter.target_modules or ()),
        dropout=adapter.dropout or 0.0,
        modules_to_save=tuple(adapter.modules_to_save or ()),
        use_dora=bool(adapter.use_dora),
        quantization_bits=quantization.bits if quantization is not None else None,
        double_quantization=quantization.double_quantization if quantization is not None else True,
        optimizer=hyperparameters.optimizer or "adamw_torch",
        batch_size=hyperparameters.batch_size,
        length=min(length or hyperparameters.max_length or 1024, hyperparameters.max_length or 1024),
        packing=bool(hyperparameters.packing),
        checkpointing=on_gpu if checkpointing is None else checkpointing,
        precision=hyperparameters.precision if hyperparameters.precision != "auto" else usual,
        fused_head=spec.method not in MATERIALIZED_METHODS,
        labelled_share=labelled_share,
        device="gpu" if on_gpu else "cpu",
        processes=max(1, spec.resources.gpus_per_node) * spec.resources.nodes,
        attention=hyperparameters.attention,
    )
