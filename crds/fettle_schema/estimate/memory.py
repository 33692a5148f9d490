"""The most memory that one process of a job needs, in closed form: no torch, under a millisecond. Pure.

A step has a handful of moments at which memory can be highest; each is a sum of parts, and the largest sum is the
answer. What the sums consist of is derived in `held_memory`, `activations` and `head_memory`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.activations import LayerMemory, layer_memory, residual_bytes
from fettle_schema.estimate.head_memory import HeadMemory, head_memory
from fettle_schema.estimate.held_memory import (
    BYTES,
    TrainedWeights,
    base_weights_bytes,
    optimizer_state_bytes,
    optimizer_step_bytes,
    reference_bytes,
    trained_weights,
)
from fettle_schema.estimate.memory_settings import REFERENCE_METHODS, MemorySettings
from fettle_schema.estimate.shape import Confidence, ModelShape

GIB = 2**30
MIB = 2**20

CUDA_CONTEXT_BYTES = 500 * MIB
"""What the driver and PyTorch's kernels take on a GPU before the first tensor; 300-700 MiB by architecture."""
CPU_LIBRARIES_BYTES = 900 * MIB
"""Resident memory of a process that has imported torch, transformers, TRL and PEFT, and has trained nothing."""
_FRAGMENTATION = {"gpu": 0.03, "cpu": 0.18}
"""Share of what comes and goes that an allocator holds in vain: PyTorch's caching one, and glibc's (`make bench-memory`
showed 0.12 to 0.21 without checkpointing)."""
_CPU_RECOMPUTED = 0.25
"""Share of what all layers would keep without checkpointing that glibc does not give back between them (two runs)."""
_SPREAD: dict[Confidence, tuple[float, float]] = {"high": (0.05, 0.10), "medium": (0.10, 0.15), "low": (0.30, 0.50)}
"""How far below and above `expected` the bounds lie, as shares."""


@dataclass(frozen=True)
class MemoryEstimate:
    """Bytes of one process. `parts` adds up to `expected`."""

    low: int
    expected: int
    high: int
    parts: Mapping[str, int]
    moment: str
    """When in a step memory is highest."""
    confidence: Confidence
    notes: tuple[str, ...] = ()

    @property
    def reserved(self) -> int:
        """Comparable to torch.cuda.max_memory_reserved, which does not see the context."""
        return self.expected - self.parts.get("context", 0)


@dataclass(frozen=True)
class _Moment:
    name: str
    activations: int = 0
    logits: int = 0
    gradients: int = 0
    optimizer_step: int = 0

    @property
    def total(self) -> int:
        return self.activations + self.logits + self.gradients + self.optimizer_step


def estimate_memory(shape: ModelShape, settings: MemorySettings) -> MemoryEstimate:
    """Memory of one process: of its GPU, or resident on the CPU."""
    trained = trained_weights(shape, settings)
    on_gpu = settings.device == "gpu"
    held = _held(shape, settings, trained)
    peak = max(_moments(shape, settings, trained), key=lambda moment: moment.total)
    parts = {
        **held,
        "gradients": peak.gradients,
        "activations": peak.activations,
        "logits": peak.logits,
        "optimizerStep": peak.optimizer_step,
        "fragmentation": _fragmentation(shape, settings, peak),
        "context": CUDA_CONTEXT_BYTES if on_gpu else CPU_LIBRARIES_BYTES,
    }
    expected = sum(parts.values())
    confidence, notes = _judge(shape, settings)
    below, above = _SPREAD[confidence]
    return MemoryEstimate(
        low=round(expected * (1 - below)),
        expected=expected,
        high=round(expected * (1 + above)),
        parts={name: size for name, size in parts.items() if size},
        moment=peak.name,
        confidence=confidence,
        notes=notes,
    )


def _fragmentation(shape: ModelShape, settings: MemorySettings, peak: _Moment) -> int:
    share = _FRAGMENTATION[settings.device] * peak.total
    if settings.device == "cpu" and settings.checkpointing:
        share += _CPU_RECOMPUTED * shape.layers * layer_memory(shape, settings).saved
    return round(share)


def peak_bytes(shape: ModelShape, settings: MemorySettings) -> int:
    """Bytes of live tensors at the highest moment: what `fettle_trainer.oracle` counts."""
    trained = trained_weights(shape, settings)
    held = sum(_held(shape, settings, trained).values())
    return held + max(moment.total for moment in _moments(shape, settings, trained))


def _held(shape: ModelShape, settings: MemorySettings, trained: TrainedWeights) -> dict[str, int]:
    has_adapter = settings.adapter is not AdapterType.NONE
    return {
        "weights": base_weights_bytes(shape, settings),
        "adapter": trained.gradient_bytes if has_adapter else 0,
        "reference": reference_bytes(shape, settings),
        "optimizer": optimizer_state_bytes(trained, settings.optimizer),
        # DistributedDataParallel copies gradients into buckets of its own (gradient_as_bucket_view is off).
        "gradientBuckets": trained.gradient_bytes if settings.processes > 1 else 0,
    }


def _moments(shape: ModelShape, settings: MemorySettings, trained: TrainedWeights) -> list[_Moment]:
    layer, head = layer_memory(shape, settings), head_memory(shape, settings)
    on_gpu = settings.device == "gpu"
    step = optimizer_step_bytes(trained, settings.optimizer, on_gpu=on_gpu)
    return [
        *_forward_moments(shape, settings, layer, head),
        *_backward_moments(shape, settings, trained, layer, head),
        _Moment("optimizer step", gradients=trained.gradient_bytes, optimizer_step=step),
    ]


def _forward_moments(
    shape: ModelShape, settings: MemorySettings, layer: LayerMemory, head: HeadMemory
) -> list[_Moment]:
    kept = shape.layers * (layer.boundary if settings.checkpointing else layer.saved)
    casts = shape.layers * layer.weight_casts if settings.checkpointing else 0
    transient = layer.inference_transient if settings.checkpointing else layer.forward_transient
    found = [
        _Moment("forward pass of the last layer", activations=kept + casts + transient),
        _Moment("forward pass of the head", activations=kept + casts, logits=head.saved + head.forward),
        _Moment("backward pass of the head", activations=kept, logits=head.saved + head.backward),
    ]
    if settings.method in REFERENCE_METHODS:
        passing = max(layer.inference_transient, head.forward)
        found.append(_Moment("forward pass of the reference", activations=kept + passing, logits=head.saved))
    return found


def _backward_moments(
    shape: ModelShape, settings: MemorySettings, trained: TrainedWeights, layer: LayerMemory, head: HeadMemory
) -> list[_Moment]:
    again = layer.saved if settings.checkpointing else 0
    kept = shape.layers * (layer.boundary if settings.checkpointing else layer.saved)
    transient = (
        max(layer.forward_transient, layer.backward_transient) if settings.checkpointing else (layer.backward_transient)
    )
    total = trained.gradient_bytes
    found = [
        _Moment("backward pass of the last layer", activations=kept + again + transient, gradients=head.gradient),
        _Moment("backward pass of the first layer", activations=layer.saved + transient, gradients=total),
    ]
    if settings.adapter is AdapterType.NONE:
        incoming = settings.tokens * residual_bytes(settings) * shape.hidden
        # A tied embedding's gradient is made whole, and a third is the sum of it and the head's.
        second = 2 * shape.embedding_parameters * BYTES[settings.trained_precision] if shape.tied else 0
        found.append(_Moment("gradient of the embedding", activations=incoming, gradients=total + second))
    return found


def _judge(shape: ModelShape, settings: MemorySettings) -> tuple[Confidence, tuple[str, ...]]:
    notes = list(shape.notes)
    confidence = shape.confidence
    if settings.use_dora:
        notes.append("DoRA makes whole weights for a moment; what that takes is modelled roughly")
    if settings.modules_to_save:
        notes.append("modulesToSave: only lm_head and embed_tokens are counted, and their gradients roughly")
    if settings.optimizer.startswith("paged_"):
        notes.append("paged optimizer states can move to the host when the GPU is full; they are counted on the GPU")
    if settings.quantization_bits == 8 and settings.checkpointing:
        notes.append("bitsandbytes' 8-bit layers keep their inputs in spite of checkpointing; 4 bits do not")
    if settings.device == "cpu":
        notes.append("resident memory depends on the C library's allocator, most of all with checkpointing")
    if settings.modules_to_save:
        confidence = "low"
    elif confidence == "high" and (settings.use_dora or settings.device == "cpu"):
        confidence = "medium"
    if settings.processes > 1:
        notes.append(f"DDP: each of {settings.processes} processes holds the whole model")
    return confidence, tuple(notes)
