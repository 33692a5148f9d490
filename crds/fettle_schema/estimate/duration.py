"""How long a job takes: a prior from arithmetic, replaced by what finished jobs have measured. Pure."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.gpus import Gpu
from fettle_schema.estimate.memory_settings import PAIRED_METHODS, REFERENCE_METHODS, MemorySettings
from fettle_schema.estimate.shape import ModelShape
from fettle_schema.training_job import Method

_UTILIZATION = (0.15, 0.30, 0.50)
"""Share of the peak that training reaches: least, usual, most. Fused, well-tuned training of large models reaches
0.38-0.43 (Llama 3 paper, table 4); PEFT on one GPU with small batches less."""
_QUANTIZED_COST = 1.3
"""4-bit weights are expanded for each multiplication: QLoRA's time over LoRA's."""


@dataclass(frozen=True)
class Speed:
    """Tokens in a second, all processes together."""

    low: float
    expected: float
    high: float
    source: Literal["prior", "measured"]
    label: str
    """What the numbers rest on, for people."""


@dataclass(frozen=True)
class Measurement:
    """What a finished job has measured."""

    gpu: str
    model: str
    method: Method
    adapter: AdapterType
    tokens_per_second: float
    processes: int = 1


def forward_flops(shape: ModelShape, length: int) -> float:
    """FLOPs of one token's forward pass: two for each weight of a multiplication, and attention over length / 2 tokens.

    2 × (linear weights + head), the embedding is looked up; queries with keys and scores with values are 2 × 2 × q × s
    of which causality needs half (Kaplan et al. 2020, section 2.1; Chowdhery et al. 2022, appendix B).
    """
    weights = shape.layers * shape.layer_linear_parameters + shape.embedding_parameters
    return 2.0 * weights + 2.0 * shape.layers * shape.query_size * length


def flops_per_token(shape: ModelShape, settings: MemorySettings) -> float:
    """FLOPs to train on one token of the dataset.

    Backward: as much again for gradients of activations, and as much for gradients of weights, where weights are
    trained whole. A LoRA adapter's own share is 3 × 2 × its parameters. Checkpointing computes the forward pass of
    all layers again. A reference costs a forward pass, KTO's estimate of the KL term two more.
    """
    forward = forward_flops(shape, settings.length)
    if settings.adapter is AdapterType.NONE:
        total = 3 * forward
    else:
        total = 2 * forward + 6.0 * shape.lora_parameters(settings.rank, settings.target_modules)
    if settings.checkpointing:
        total += forward - 2.0 * shape.embedding_parameters
    if settings.method in REFERENCE_METHODS:
        total += forward
    if settings.method is Method.KTO:
        total += 2 * forward
    return total * (_QUANTIZED_COST if settings.quantization_bits is not None else 1.0)


def prior_speed(shape: ModelShape, settings: MemorySettings, gpu: Gpu) -> Speed:
    """An interval from peak × utilization. Several GPUs multiply it; what their network costs is not known here."""
    bound = gpu.peak_flops * settings.processes / flops_per_token(shape, settings)
    low, expected, high = (share * bound for share in _UTILIZATION)
    label = f"prior: {_UTILIZATION[0]:.0%} to {_UTILIZATION[2]:.0%} of the peak of {gpu.name}, nothing measured"
    return Speed(low, expected, high, "prior", label)


def measured_speed(
    measurements: Sequence[Measurement], *, gpu: str, model: str, settings: MemorySettings
) -> Speed | None:
    """The median of jobs with the same GPU, model, method and adapter, per process; None if there was none.

    The interval is what was seen; with fewer than three jobs it is widened to 30 % around the median.
    """
    seen = [
        found.tokens_per_second / found.processes
        for found in measurements
        if (found.gpu, found.model, found.method, found.adapter) == (gpu, model, settings.method, settings.adapter)
        and found.tokens_per_second > 0
    ]
    if not seen:
        return None
    median = statistics.median(seen)
    low, high = min(seen), max(seen)
    if len(seen) < 3:
        low, high = min(low, 0.7 * median), max(high, 1.3 * median)
    spread = (max(seen) - min(seen)) / median
    label = f"measured: median of n={len(seen)} jobs, spread {spread:.0%}"
    count = settings.processes
    return Speed(count * low, count * median, count * high, "measured", label)


@dataclass(frozen=True)
class Duration:
    """Seconds of training, without loading and saving."""

    low: float
    expected: float
    high: float
    tokens: int
    speed: Speed


def training_tokens(settings: MemorySettings, examples: int, epochs: float, mean_length: float | None = None) -> int:
    """Tokens of all epochs; pairs have two answers. Without a mean length, examples are as long as allowed."""
    sides = 2 if settings.method in PAIRED_METHODS else 1
    return round(examples * epochs * sides * min(mean_length or settings.length, settings.length))


def training_duration(speed: Speed, tokens: int) -> Duration:
    """How long `tokens` take."""
    return Duration(tokens / speed.high, tokens / speed.expected, tokens / speed.low, tokens, speed)
