"""What the language-model head allocates, by trainer. Pure.

SFT, DPO, IPO and KTO have TRL's fused head (trl.kernels.chunked_logprob, 1.16): logits exist one tile at a time. ORPO,
CPO and SimPO (trl.experimental) hold the logits of all positions.
"""

from dataclasses import dataclass

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.activations import residual_bytes
from fettle_schema.estimate.held_memory import BYTES, saved_modules
from fettle_schema.estimate.memory_settings import MATERIALIZED_METHODS, MemorySettings
from fettle_schema.estimate.shape import ModelShape

_TILE_TOKENS = 4096
"""trl.kernels.chunked_logprob.TOKEN_CHUNK_SIZE"""
_TILE_WIDTH = 32768
"""trl.trainer.utils._CHUNKED_LOGPROB_CHUNK_SIZE"""
_UNFUSED_FORWARD, _UNFUSED_BACKWARD = 13, 29
"""Without Triton a tile is folded by operations of torch: bytes for each of its numbers, as the oracle counts them."""
_CPU_CHUNK = 256
"""fettle_trainer.cpu_head: positions at once."""


@dataclass(frozen=True)
class HeadMemory:
    """Bytes for one micro-batch."""

    saved: int
    """Kept from the head's forward pass to its backward pass."""
    forward: int
    """On top of it, in the forward pass."""
    backward: int
    """On top of it, in the backward pass."""
    gradient: int
    """Gradient of a trained head: the first that is there."""


def head_memory(shape: ModelShape, settings: MemorySettings) -> HeadMemory:
    """Head and loss, with the norm before it."""
    trained = settings.adapter is AdapterType.NONE
    stream = residual_bytes(settings)
    # The last norm: its input in fp32, and where it is trained the normalized input, as in activations._norms.
    norm = settings.tokens * shape.hidden * (4 + (stream if trained else 0))
    gradient = shape.embedding_parameters * BYTES[settings.trained_precision] if trained else 0
    if not trained and saved_modules(shape, settings):
        gradient = shape.embedding_parameters * BYTES[settings.precision]
    if not settings.fused_head:
        return _materialized(shape, settings, norm, gradient)
    if settings.device == "cpu" and not trained:
        return _frozen_on_cpu(shape, settings, norm)
    return _tiled(shape, settings, norm, gradient)


def _labelled(settings: MemorySettings) -> int:
    return round(settings.rows * (settings.length - 1) * settings.labelled_share)


def _tiled(shape: ModelShape, settings: MemorySettings, norm: int, gradient: int) -> HeadMemory:
    """Kept: the hidden states of labelled positions (e·h·N). A tile has c·4096·32768; weights that are not in the
    compute dtype are cast in parts of 32768 rows. Backward: gradients of hidden states (4·h·N, then cast) and of
    weights in fp32.
    """
    compute, stream, positions = BYTES[settings.precision], residual_bytes(settings), _labelled(settings)
    tile = compute * min(positions, _TILE_TOKENS) * _TILE_WIDTH
    unfused = min(positions, _TILE_TOKENS) * min(_TILE_WIDTH, shape.vocabulary) if settings.device == "cpu" else 0
    casts = 0
    if stream != compute and settings.uses_autocast:
        casts = compute * (min(_TILE_WIDTH, shape.vocabulary) + min(positions, _TILE_TOKENS)) * shape.hidden
    hidden = shape.hidden * positions
    copied = gradient if settings.adapter is not AdapterType.NONE else 0  # the fp32 gradient is cast at the end
    accumulated = 4 * shape.embedding_parameters + copied if gradient else 0
    return HeadMemory(
        saved=norm + stream * hidden,
        forward=tile + _UNFUSED_FORWARD * unfused + casts + (stream * shape.hidden * settings.tokens),
        backward=4 * hidden + max(tile + _UNFUSED_BACKWARD * unfused + casts, stream * hidden) + accumulated,
        gradient=gradient,
    )


def _frozen_on_cpu(shape: ModelShape, settings: MemorySettings, norm: int) -> HeadMemory:
    """fettle_trainer.cpu_head: the gradient of the hidden states is made in the forward pass, 256 positions at once;
    logits in the compute dtype and fp32, and a slope in the compute dtype. A head in another dtype is cast whole."""
    compute, positions = BYTES[settings.precision], _labelled(settings)
    chunk = min(_CPU_CHUNK, positions) * shape.vocabulary * (4 + 2 * compute)
    hidden = compute * shape.hidden * positions
    return HeadMemory(saved=norm + 2 * hidden, forward=chunk, backward=2 * hidden, gradient=0)


def _materialized(shape: ModelShape, settings: MemorySettings, norm: int, gradient: int) -> HeadMemory:
    """Logits in the compute dtype become fp32 (accelerate), and log-probabilities are made beside them.

    Bytes for each of the V·T logits, as `fettle_trainer.oracle` counts them. Cross-entropy of all positions keeps the
    log-probabilities (4), makes them from the logits (4), and has two gradients beside them (8). ORPO and CPO keep the
    logits (4) and log-probabilities of the chosen half (2), copy that half (2), and have the gradients of both uses,
    and their sum (12).
    """
    logits = shape.vocabulary * settings.tokens
    saved, forward, backward = (6, 2, 12) if settings.method in MATERIALIZED_METHODS else (4, 4, 8)
    return HeadMemory(
        saved=norm + saved * logits, forward=forward * logits, backward=backward * logits, gradient=gradient
    )
