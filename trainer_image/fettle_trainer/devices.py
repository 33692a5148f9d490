"""What the hardware can do, and the choices that follow from it."""

from pathlib import Path
from typing import Any, Literal

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.failures import TrainerFailure, configuration_failure

Precision = Literal["bf16", "fp16", "fp32"]
_CPU_FLAGS_WITH_BF16 = frozenset({"avx512_bf16", "amx_bf16", "bf16"})
"""x86 and ARM; without one of them, bf16 is emulated and slower than fp32."""


def cpu_has_bf16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU multiplies bf16 numbers itself."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.lower().startswith(("flags", "features"))), "")
    return not _CPU_FLAGS_WITH_BF16.isdisjoint(flags.split())


def choose_precision(requested: str, *, uses_gpu: bool) -> Precision:
    """`auto` is bf16 where the hardware has it, fp16 on older GPUs, fp32 on other CPUs."""
    import torch

    if requested == "bf16" or requested == "fp32":
        return "bf16" if requested == "bf16" else "fp32"
    if requested == "fp16":
        if not uses_gpu:
            raise configuration_failure(
                "spec.hyperparameters.precision", "fp16 needs a GPU", "Use auto, bf16 or fp32 on the CPU."
            )
        return "fp16"
    if uses_gpu:
        return "bf16" if torch.cuda.is_bf16_supported() else "fp16"
    return "bf16" if cpu_has_bf16() else "fp32"


def torch_dtype(precision: Precision) -> Any:
    """What torch calls it."""
    import torch

    return {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}[precision]


def require_device(*, uses_gpu: bool) -> None:
    """TrainerFailure (75) if a GPU was promised and there is none."""
    import torch

    if uses_gpu and not torch.cuda.is_available():
        raise TrainerFailure(
            ExitCode.RETRY,
            "spec.resources.gpusPerNode asks for a GPU, but PyTorch finds none",
            "Check the node's driver and runtime class, and that the image holds a CUDA build of torch; "
            "set gpusPerNode: 0 to train on the CPU.",
        )


def peak_memory_bytes(*, uses_gpu: bool) -> int:
    """Most memory that this process has used: of the GPU, or resident."""
    if uses_gpu:
        import torch

        return int(torch.cuda.max_memory_reserved())
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def resident_bytes() -> int:
    """Memory that this process holds now."""
    import resource

    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize()
