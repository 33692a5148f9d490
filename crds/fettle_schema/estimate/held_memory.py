"""What lies in memory between two steps: weights, adapter, gradients' shape, optimizer state, reference. Pure."""

from dataclasses import dataclass

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.memory_settings import MATERIALIZED_METHODS, MemorySettings
from fettle_schema.estimate.shape import ModelShape

BYTES = {"bf16": 2, "fp16": 2, "fp32": 4}
_BLOCK = 64
"""bitsandbytes: weights that share one scale."""
_NESTED_BLOCK = 256
"""bitsandbytes: scales that share one scale, with double quantization."""
_STATE_BLOCK = 256
"""bitsandbytes: optimizer states that share one scale."""


@dataclass(frozen=True)
class TrainedWeights:
    """What is trained, as counts and bytes."""

    count: int
    bytes_each: int
    largest: int
    """Parameters of the largest tensor."""
    copied_bytes: int = 0
    """Of what `modulesToSave` copies, in the dtype of the base; not in `count`."""

    @property
    def gradient_bytes(self) -> int:
        """Gradients have the dtype of their weights."""
        return self.count * self.bytes_each + self.copied_bytes


def trained_weights(shape: ModelShape, settings: MemorySettings) -> TrainedWeights:
    """PEFT keeps adapters in fp32 (`autocast_adapter_dtype`).

    TRL's SFT, DPO and KTO trainers cast those of quantized bases to bf16; its experimental ones leave them as they are.
    """
    if settings.adapter is AdapterType.NONE:
        largest = max(shape.embedding_parameters, shape.hidden * shape.intermediate)
        return TrainedWeights(shape.parameters, BYTES[settings.trained_precision], largest)
    count = shape.lora_parameters(settings.rank, settings.target_modules)
    targets = [name for name in shape.targets(settings.target_modules) if name in shape.linear_layers]
    if settings.use_dora:
        count += shape.layers * sum(shape.linear_layers[name][1] for name in targets)
    widest = max((max(shape.linear_layers[name]) for name in targets), default=shape.vocabulary)
    saved = saved_modules(shape, settings)
    largest = max(settings.rank * widest, shape.embedding_parameters if saved else 0)
    return TrainedWeights(count, adapter_bytes(settings), largest, saved * BYTES[settings.precision])


def adapter_bytes(settings: MemorySettings) -> int:
    """Bytes of one number of an adapter."""
    return 2 if settings.quantization_bits is not None and settings.method not in MATERIALIZED_METHODS else 4


def saved_modules(shape: ModelShape, settings: MemorySettings) -> int:
    """Parameters of copies that `modulesToSave` makes: head and embedding, or one of both where they are tied."""
    names = {name.rpartition(".")[2] for name in settings.modules_to_save} & {"lm_head", "embed_tokens"}
    return (min(len(names), 1) if shape.tied else len(names)) * shape.embedding_parameters


def base_weights_bytes(shape: ModelShape, settings: MemorySettings) -> int:
    """The base model as it is loaded. Quantized are the linear layers of the decoder; the rest keeps its dtype."""
    if settings.adapter is AdapterType.NONE:
        return shape.parameters * BYTES[settings.trained_precision]
    kept = BYTES[settings.precision]
    if settings.quantization_bits is None:
        return shape.parameters * kept
    linear = shape.layers * shape.layer_linear_parameters
    rest = (shape.parameters - linear) * kept
    if settings.quantization_bits == 8:
        rows = sum(width_out for _, width_out in shape.linear_layers.values())
        return rest + linear + 4 * shape.layers * rows
    return rest + round(linear * four_bit_bytes(double_quantization=settings.double_quantization))


def four_bit_bytes(*, double_quantization: bool) -> float:
    """Bytes of one 4-bit weight: 4 bits and a share of its scale (Dettmers et al. 2023, QLoRA, section 3).

    The scale is fp32 for 64 weights: 0.5 + 4/64 = 0.5625. With double quantization it is 8 bits, and 256 scales share
    an fp32: 0.5 + 1/64 + 4/(64 × 256) = 0.5159.
    """
    scale = (1 + 4 / _NESTED_BLOCK) if double_quantization else 4
    return 0.5 + scale / _BLOCK


def reference_bytes(shape: ModelShape, settings: MemorySettings) -> int:
    """A frozen copy beside a model that is trained whole, in what is computed in."""
    return shape.parameters * BYTES[settings.precision] if settings.has_reference_copy else 0


def optimizer_state_bytes(trained: TrainedWeights, optimizer: str) -> int:
    """State between two steps.

    Adam has two moments with the dtype of the weight; bitsandbytes' 8-bit one two bytes and two fp32 scales for each
    256 weights. Adafactor keeps sums of rows and columns only (Shazeer & Stern 2018); SGD here has no momentum. Paged
    states may be moved to the host, but lie on the GPU as long as there is room.
    """
    if optimizer in ("adamw_8bit", "paged_adamw_8bit"):
        return round(trained.count * (2 + 8 / _STATE_BLOCK))
    if optimizer in ("adafactor", "sgd"):
        return 0
    return 2 * trained.gradient_bytes


def optimizer_step_bytes(trained: TrainedWeights, optimizer: str, *, on_gpu: bool) -> int:
    """What the optimizer allocates while it works.

    On CUDA torch.optim.AdamW goes over all tensors at once (`foreach`) and holds the square roots of all second
    moments: as much as the weights. Fused and bitsandbytes' kernels work in place; loops hold two tensors.
    """
    if optimizer == "adamw_torch" and on_gpu:
        return trained.gradient_bytes
    if optimizer in ("adamw_torch", "adafactor"):
        return 2 * trained.largest * max(trained.bytes_each, 4)
    return 0
