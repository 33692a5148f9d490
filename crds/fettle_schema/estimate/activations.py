"""What the backward pass needs of one decoder layer, and what a layer allocates for a moment. Pure.

Derived from the operations of transformers' modeling_llama.py (5.19), PEFT's LoRA layers (0.21) and what autograd saves
of each (torch/csrc derivatives.yaml); `fettle_trainer.oracle` measures the same, and tests hold both together.

Letters: T tokens, h hidden, i intermediate, q and k widths of queries and keys, r rank, c bytes of the compute dtype,
e bytes of the residual stream.
"""

from dataclasses import dataclass

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.held_memory import BYTES
from fettle_schema.estimate.memory_settings import MemorySettings
from fettle_schema.estimate.shape import ModelShape


@dataclass(frozen=True)
class LayerMemory:
    """Bytes of one decoder layer for all tokens of a micro-batch."""

    saved: int
    """Kept for the backward pass without checkpointing, or while the layer is computed again."""
    boundary: int
    """Kept of a checkpointed layer: its input."""
    forward_transient: int
    """On top of it, for a moment of the forward pass."""
    backward_transient: int
    """On top of it, for a moment of the backward pass."""
    inference_transient: int
    """Of a layer that is computed without gradients."""
    weight_casts: int
    """Copies of weights in the compute dtype, which autocast keeps until the end of the forward pass."""


def layer_memory(shape: ModelShape, settings: MemorySettings) -> LayerMemory:
    """One decoder layer."""
    compute, tokens = BYTES[settings.precision], settings.tokens
    per_token = _norms(shape, settings) + _attention(shape, settings, compute) + 3 * compute * shape.intermediate
    is_full = settings.adapter is AdapterType.NONE
    per_token += _full_inputs(shape, settings, compute) if is_full else _adapter_inputs(shape, settings, compute)
    if settings.use_dora:  # both products are kept, in the compute dtype and scaled in fp32
        per_token += 8 * sum(shape.linear_layers[name][1] for name in _targets(shape, settings))
    kept = _kept_inputs(shape, settings)
    # What a layer keeps when it is computed again goes with that second computation.
    own = 0 if settings.checkpointing else kept
    saved = tokens * (per_token + own) + _weight_casts(shape, settings)
    return LayerMemory(
        saved=saved,
        boundary=tokens
        * (residual_bytes(settings) * shape.hidden + (kept + shape.query_size * compute if kept else 0)),
        forward_transient=_forward_transient(shape, settings, compute),
        backward_transient=_backward_transient(shape, settings, compute),
        inference_transient=tokens * (3 * compute * shape.intermediate + 2 * residual_bytes(settings) * shape.hidden),
        weight_casts=_weight_casts(shape, settings),
    )


def residual_bytes(settings: MemorySettings) -> int:
    """The residual stream has the dtype of the embedding: that of the weights."""
    full = settings.adapter is AdapterType.NONE
    return BYTES[settings.trained_precision if full else settings.precision]


def _norms(shape: ModelShape, settings: MemorySettings) -> int:
    """RMSNorm keeps its input in fp32 and one number for each row: 4h + 4; with trained weights also the normalized
    input (e·h). Norms of heads do the same with queries and keys."""
    trained = settings.adapter is AdapterType.NONE
    each = 4 + (residual_bytes(settings) if trained else 0)
    total = shape.norms * (each * shape.hidden + 4)
    if shape.head_norms:
        total += each * (shape.query_size + shape.kv_size)
    return total


def _attention(shape: ModelShape, settings: MemorySettings, compute: int) -> int:
    """Queries, keys, values, output and a log-sum-exp for each head (Dao 2022, FlashAttention, algorithm 2).

    With a mask, transformers repeats keys and values to the number of query heads, and PyTorch turns the mask into
    numbers of the compute dtype, once for each layer. `eager` keeps the probabilities: in fp32, and cast.
    """
    masked = settings.has_mask and settings.attention != "flash_attention_2"
    if settings.attention == "eager":
        scores = (4 + compute) * shape.heads * settings.length
        return 2 * compute * shape.query_size + 2 * compute * shape.query_size + scores
    key = shape.query_size if masked else shape.kv_size
    bias = compute * settings.length if masked else 0
    return 2 * compute * (shape.query_size + key) + 4 * shape.heads + bias


def _full_inputs(shape: ModelShape, settings: MemorySettings, compute: int) -> int:
    """Inputs of linear layers, whose weights need them: c·i of down_proj; o_proj's is attention's output.

    Autocast casts the normalized input once for each of q, k, v, gate, up; without it they share one for each norm.
    """
    shared = 5 if settings.uses_autocast and residual_bytes(settings) != compute else 2
    return compute * (shared * shape.hidden + shape.intermediate)


def _adapter_inputs(shape: ModelShape, settings: MemorySettings, compute: int) -> int:
    """Inputs of the first LoRA factor for its gradient, r numbers for that of the second, a byte for each dropped
    input. The frozen base keeps nothing of its inputs.

    PEFT casts the input to the adapter's dtype, so that each target has a copy of its own; where the dtype is the same
    and nothing is dropped, targets share theirs.
    """
    targets = _targets(shape, settings)
    width = compute if settings.uses_autocast or settings.precision == "fp32" or _adapter_is_small(settings) else 4
    rows = width * settings.rank * len(targets)
    if settings.dropout > 0:
        mask = compute if settings.device == "cpu" else 1
        return rows + sum((width + mask) * shape.linear_layers[name][0] for name in targets)
    if not _casts_input(settings):
        sources = {name: source for source, names in _SOURCES.items() for name in names}
        own = {sources[name]: shape.linear_layers[name][0] for name in targets if sources[name] != "attention"}
        return rows + width * sum(own.values())
    return rows + sum(width * shape.linear_layers[name][0] for name in targets)


_SOURCES = {
    "first norm": ("q_proj", "k_proj", "v_proj"),
    "attention": ("o_proj",),
    "second norm": ("gate_proj", "up_proj"),
    "product": ("down_proj",),
}
"""Which linear layers have the same input; attention's output is kept in any case."""


def _adapter_is_small(settings: MemorySettings) -> bool:
    return settings.quantization_bits is not None


def _casts_input(settings: MemorySettings) -> bool:
    """Whether the input of an adapter has another dtype than the adapter. On the CPU our fused layer casts nothing."""
    return not _adapter_is_small(settings) and settings.precision != "fp32" and settings.device == "gpu"


def _kept_inputs(shape: ModelShape, settings: MemorySettings) -> int:
    """bitsandbytes' 8-bit layers keep their input outside of what autograd saves, so that checkpointing does not
    free it: 2h + i (and attention's output, which is kept without checkpointing anyway)."""
    if settings.quantization_bits != 8:
        return 0
    return BYTES[settings.precision] * (2 * shape.hidden + shape.intermediate)


def _weight_casts(shape: ModelShape, settings: MemorySettings) -> int:
    """Autocast copies trained fp32 weights to the compute dtype, once for each forward pass."""
    if not settings.uses_autocast:
        return 0
    if settings.adapter is AdapterType.NONE:
        cast = settings.trained_precision == "fp32"
        return BYTES[settings.precision] * shape.layer_linear_parameters if cast else 0
    if _adapter_is_small(settings) or settings.device == "cpu":
        return 0
    targets = _targets(shape, settings)
    return BYTES[settings.precision] * settings.rank * sum(sum(shape.linear_layers[name]) for name in targets)


def _targets(shape: ModelShape, settings: MemorySettings) -> list[str]:
    """Linear layers that have an adapter."""
    return [name for name in shape.targets(settings.target_modules) if name in shape.linear_layers]


def _forward_transient(shape: ModelShape, settings: MemorySettings, compute: int) -> int:
    """The widest moment is the last linear layer: its input (c·i), and with an adapter that input in fp32 (4i) and
    dropped (4i); two tensors of the hidden size beside it."""
    width = compute * shape.intermediate
    # DoRA makes the whole changed weight in fp32, to know its norm.
    whole = 24 * shape.hidden * shape.intermediate if settings.use_dora else 0
    if settings.adapter is not AdapterType.NONE and _casts_input(settings):
        steps = (1 if settings.uses_autocast else 0) + (1 if settings.dropout > 0 else 0)
        widest = max((shape.linear_layers[name][0] for name in _targets(shape, settings)), default=0)
        width = max(width, compute * widest + 4 * steps * widest)
    return settings.tokens * (width + 2 * residual_bytes(settings) * shape.hidden) + whole


def _backward_transient(shape: ModelShape, settings: MemorySettings, compute: int) -> int:
    """Gradients of the MLP: of its product, of one factor, of the activation: 3·c·i; a 4-bit weight is expanded, and
    the gradient of a trained weight is made in the compute dtype before it is cast."""
    weight = shape.hidden * shape.intermediate
    expanded = compute * weight if settings.quantization_bits is not None else 0
    if settings.adapter is AdapterType.NONE and settings.uses_autocast:
        expanded = compute * weight
    return settings.tokens * 2 * compute * shape.intermediate + expanded
