"""GPUs that jobs run on: memory and peak of dense bf16 multiplication. Facts from manufacturers' data sheets. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from fettle_schema.estimate.errors import EstimateError

GIB = 2**30
TERA = 10**12


@dataclass(frozen=True)
class Gpu:
    """One kind of GPU."""

    name: str
    memory_bytes: int
    """What PyTorch sees, which is less than the number in the name."""
    peak_flops: float
    """Dense bf16 (fp16 where there is no bf16), with fp32 accumulation, in a second."""
    has_bf16: bool = True


def _gpu(name: str, memory_gib: float, teraflops: float, *, has_bf16: bool = True) -> Gpu:
    return Gpu(name, round(memory_gib * GIB), teraflops * TERA, has_bf16)


GPUS: Mapping[str, Gpu] = {
    gpu.name: gpu
    for gpu in (
        # Teraflops: NVIDIA's data sheet of each product, the number without sparsity. Memory: total_memory as PyTorch
        # reports it, about 1-6 % below the capacity of the data sheet (ECC, firmware).
        _gpu("t4-16", 14.6, 65, has_bf16=False),
        _gpu("v100-32", 31.7, 125, has_bf16=False),
        _gpu("rtx3090-24", 23.6, 71),
        _gpu("rtx4090-24", 23.5, 165),
        _gpu("l4-24", 22.0, 121),
        _gpu("a10g-24", 22.0, 70),
        _gpu("a6000-48", 47.4, 155),
        _gpu("l40s-48", 44.4, 362),
        _gpu("a100-40", 39.4, 312),
        _gpu("a100-80", 79.2, 312),
        _gpu("h100-80", 79.1, 989),
        _gpu("h200-141", 139.8, 989),
        _gpu("b200-180", 178.3, 2250),
    )
}


def gpu_named(name: str) -> Gpu:
    """The GPU of that name; EstimateError lists what there is."""
    gpu = GPUS.get(name.lower())
    if gpu is None:
        raise EstimateError(f"unknown GPU {name!r}; known are: {', '.join(GPUS)}")
    return gpu
