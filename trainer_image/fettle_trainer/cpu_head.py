"""TRL's fused language-model head, made faster on the CPU: about half the time of a step with a large vocabulary.

On a CPU TRL 1.16 projects every position through the head, prompt and padding too, and once more in the backward pass.
Here only positions with a label are projected, and the gradient of the hidden states is formed together with the
loss, chunk by chunk. This holds for a frozen head only; everything else goes through TRL's own function. Losses and
gradients are the same up to rounding. What TRL asks for only to log it is zeros: nothing of ours reads it.

Two private names of `trl.trainer.utils` are replaced, in versions of TRL that were looked at; in others, nothing is.
"""

from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import torch

KNOWN_VERSIONS = ("1.16.",)
_NAMES = ("_use_triton", "_ChunkedLogProbFunction")
_ONLY_LOGGED = frozenset({"entropy", "mean_logits", "is_top1"})
_CHUNK = 256
"""Positions at once: 256 × 49,152 logits in fp32 are 50 MB."""


def install(warn: Callable[[str], None]) -> None:
    """Replace TRL's head in this process, which must train on the CPU. Does nothing the second time."""
    import trl.trainer.utils as utils

    if isinstance(utils._ChunkedLogProbFunction, CpuHead):
        return
    if not version("trl").startswith(KNOWN_VERSIONS) or not all(hasattr(utils, name) for name in _NAMES):
        warn(f"TRL {version('trl')} is not known to the faster CPU head; training uses TRL's own, which is slower")
        return
    utils._ChunkedLogProbFunction = CpuHead(utils._ChunkedLogProbFunction)
    utils._use_triton = lambda device: True  # in this module it only decides whether unlabelled positions are dropped


def original_head() -> Any:
    """TRL's own function, installed over or not."""
    import trl.trainer.utils as utils

    current: Any = utils._ChunkedLogProbFunction
    return current.original if isinstance(current, CpuHead) else current


class CpuHead:
    """Stands in for TRL's autograd function."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def apply(
        self,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
        chunk_size: int,
        softcap: float | None,
        scale: float,
        outputs: tuple[str, ...],
    ) -> Any:
        is_trained = weight.requires_grad or (bias is not None and bias.requires_grad)
        is_plain = not softcap and scale == 1.0 and set(outputs) <= {"log_probs", *_ONLY_LOGGED}
        if is_trained or not is_plain or hidden.device.type != "cpu":
            return self.original.apply(hidden, weight, bias, targets, temperature, chunk_size, softcap, scale, outputs)
        log_probs = _FrozenHead.apply(hidden, weight, bias, targets, temperature)  # type: ignore[no-untyped-call]
        zeros = torch.zeros_like(log_probs, requires_grad=False)
        return log_probs, zeros, None, zeros, zeros.bool()


class _FrozenHead(torch.autograd.Function):
    """Log-probability of each target: hidden [N, H], weight [V, H], targets [N] → [N] in fp32."""

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        targets: torch.Tensor,
        temperature: float,
    ) -> torch.Tensor:
        dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else hidden.dtype
        weight = weight.to(dtype)
        log_probs = hidden.new_empty(hidden.shape[0], dtype=torch.float32)
        gradient = torch.empty_like(hidden) if hidden.requires_grad else None
        for start in range(0, hidden.shape[0], _CHUNK):
            part = slice(start, start + _CHUNK)
            target = targets[part, None]
            logits = (hidden[part].to(dtype) @ weight.t()).float()
            if bias is not None:
                logits += bias
            logits /= temperature
            highest = logits.amax(-1, keepdim=True)
            of_target = logits.gather(1, target) - highest
            probabilities = logits.sub_(highest).exp_()
            total = probabilities.sum(-1, keepdim=True)
            log_probs[part] = (of_target - total.log())[:, 0]
            if gradient is not None:
                # d log p(target) / d logits = onehot(target) - p
                slope = probabilities.div_(total).neg_()
                slope.scatter_add_(1, target, torch.ones_like(of_target))
                gradient[part] = (slope.to(dtype) @ weight) / temperature
        ctx.save_for_backward(gradient)
        return log_probs

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (gradient,) = ctx.saved_tensors
        return (gradient * upstream[:, None]).to(gradient.dtype), None, None, None, None
