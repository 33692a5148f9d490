"""What fits, and what would: micro-batch, checkpointing, QLoRA, the smallest GPU, hours and cost. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.duration import Duration
from fettle_schema.estimate.gpus import GPUS, Gpu
from fettle_schema.estimate.memory import MemoryEstimate, estimate_memory
from fettle_schema.estimate.memory_settings import MemorySettings
from fettle_schema.estimate.shape import ModelShape
from fettle_schema.training_job import Method

LARGEST_BATCH = 4096


@dataclass(frozen=True)
class Advice:
    """What can be said about one job on one kind of GPU."""

    gpu: str
    fits: bool
    """Whether the upper bound of the estimate fits."""
    might_fit: bool
    """Whether the expected memory fits."""
    largest_batch: int
    """Largest micro-batch that fits with the other settings as they are; 0 if none does."""
    changes: tuple[str, ...]
    """The first change of settings that makes it fit, in words of the spec; empty if it fits, or if none does."""
    smallest_gpu: str | None
    """Smallest GPU of the table that the job fits on as it is; None if none is large enough."""


def fits(estimate: MemoryEstimate, gpu: Gpu) -> bool:
    """Whether even the upper bound fits."""
    return estimate.high <= gpu.memory_bytes


def largest_micro_batch(shape: ModelShape, settings: MemorySettings, gpu: Gpu) -> int:
    """Largest micro-batch that fits; memory grows with it, so that halving finds it."""
    least = 2 if settings.method is Method.KTO else 1

    def is_small_enough(size: int) -> bool:
        return fits(estimate_memory(shape, replace(settings, batch_size=size)), gpu)

    if not is_small_enough(least):
        return 0
    low, high = least, LARGEST_BATCH + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if is_small_enough(middle) else (low, middle)
    return low


def smallest_gpu(shape: ModelShape, settings: MemorySettings, gpus: Iterable[Gpu] = GPUS.values()) -> Gpu | None:
    """The GPU with the least memory that is enough; of equals, the slower one."""
    needed = estimate_memory(shape, replace(settings, device="gpu")).high
    enough = [gpu for gpu in gpus if needed <= gpu.memory_bytes]
    return min(enough, key=lambda gpu: (gpu.memory_bytes, gpu.peak_flops), default=None)


def advise(shape: ModelShape, settings: MemorySettings, gpu: Gpu) -> Advice:
    """Advice for one kind of GPU."""
    estimate = estimate_memory(shape, settings)
    smallest = smallest_gpu(shape, settings)
    is_enough = fits(estimate, gpu)
    return Advice(
        gpu=gpu.name,
        fits=is_enough,
        might_fit=estimate.expected <= gpu.memory_bytes,
        largest_batch=largest_micro_batch(shape, settings, gpu),
        changes=() if is_enough else _changes(shape, settings, gpu),
        smallest_gpu=smallest.name if smallest is not None else None,
    )


def _changes(shape: ModelShape, settings: MemorySettings, gpu: Gpu) -> tuple[str, ...]:
    """Changes are added one after another, those that cost the least first, until the job fits."""
    for words, changed in _steps(settings):
        size = largest_micro_batch(shape, changed, gpu)
        if size >= settings.batch_size:
            return words
        if size:
            factor = -(-settings.batch_size // size)
            return (*words, f"hyperparameters.batchSize: {size}, gradientAccumulationSteps: {factor} times as many")
    return ()


def _steps(settings: MemorySettings) -> Iterable[tuple[tuple[str, ...], MemorySettings]]:
    """Settings that need less and less memory, each with all that was changed, in words of the spec."""
    words: tuple[str, ...] = ()
    if not settings.checkpointing:
        settings, words = replace(settings, checkpointing=True), ("hyperparameters.gradientCheckpointing: true",)
    yield words, settings
    if settings.adapter is AdapterType.NONE and settings.optimizer == "adamw_torch":
        fused = "hyperparameters.optimizer: adamw_torch_fused"
        yield (*words, fused), replace(settings, optimizer="adamw_torch_fused")
    if settings.adapter is AdapterType.NONE:
        settings = replace(settings, adapter=AdapterType.LORA, rank=16, target_modules=("all-linear",), dropout=0.05)
        yield (*words, "adapter.type: lora"), settings
    if settings.quantization_bits != 4:
        quantized = replace(settings, adapter=AdapterType.QLORA, quantization_bits=4)
        yield (*words, "adapter.type: qlora"), quantized


@dataclass(frozen=True)
class Cost:
    """What a job takes of GPUs and money."""

    gpu_hours_low: float
    gpu_hours: float
    gpu_hours_high: float
    price_per_gpu_hour: float | None
    """From the price table of the settings; None if it does not name the GPU."""

    @property
    def amount(self) -> float | None:
        """Expected cost, in the currency of the table."""
        return None if self.price_per_gpu_hour is None else self.gpu_hours * self.price_per_gpu_hour


def cost(duration: Duration, gpus: int, gpu: str, prices: Mapping[str, float]) -> Cost:
    """GPU-hours of `gpus` GPUs, and their price if `prices` (GPU → price of an hour) has one."""
    low, expected, high = (gpus * seconds / 3600 for seconds in (duration.low, duration.expected, duration.high))
    return Cost(low, expected, high, prices.get(gpu))
