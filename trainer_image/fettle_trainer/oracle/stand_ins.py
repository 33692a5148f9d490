"""What is replaced under fake tensors, and why. They live on the CPU here, whichever device is meant.

Where CUDA has other kernels than the CPU, the stand-in allocates what those allocate: dropout keeps a mask of one byte,
and TRL's head folds its tiles in place by Triton and multiplies bf16 into fp32 directly.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from fettle_schema.estimate.memory_settings import MemorySettings


@contextmanager
def stand_ins(settings: MemorySettings) -> Iterator[None]:
    """All replacements that a dry run with these settings needs."""
    import transformers.masking_utils as masks
    import trl.kernels.chunked_logprob as kernels
    import trl.trainer.utils as head

    from fettle_trainer.cpu_head import CpuHead, original_head

    with ExitStack() as stack:
        stack.enter_context(_without_swapping())
        # Which positions have a label cannot be asked of fake tensors: all have one.
        stack.enter_context(replaced(head, "_use_triton", lambda device: False))
        if not settings.has_mask:
            # transformers looks for packed examples by value; not knowing any, it masks where nothing needs it.
            stack.enter_context(replaced(masks, "find_packed_sequence_indices", _nothing))
        function = original_head()
        stack.enter_context(
            replaced(head, "_ChunkedLogProbFunction", CpuHead(function) if settings.device == "cpu" else function)
        )
        if settings.device == "gpu":
            stack.enter_context(replaced(torch.nn.functional, "dropout", _dropout))
            for name in ("_forward_tile", "_backward_tile", "_addmm_fp32"):
                stack.enter_context(replaced(kernels, name, _nothing))
        yield


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """`owner.name` is `value` for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


def _nothing(*args: Any, **kwargs: Any) -> None:
    """Works in place, and allocates nothing."""


def _dropout(x: torch.Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> torch.Tensor:
    return torch.native_dropout(x, p, True)[0] if training and p > 0 else x


@contextmanager
def _without_swapping() -> Iterator[None]:
    """Fake parameters cannot be swapped when a module is converted."""
    before = torch.__future__.get_swap_module_params_on_conversion()
    torch.__future__.set_swap_module_params_on_conversion(False)
    try:
        yield
    finally:
        torch.__future__.set_swap_module_params_on_conversion(before)
