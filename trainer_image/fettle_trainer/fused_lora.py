"""A LoRA layer in one autograd function: the same numbers as PEFT's up to rounding, fewer passes over memory.

PEFT computes base(x) + B(A(dropout(x))) × scale as separate operations, each of which reads and writes a whole
activation, and keeps more of them for the backward pass than are needed. Here the small products are added in place.
On a CPU this takes a sixth off the linear layers of a small model. It holds for a frozen base layer without bias and
one plain LoRA adapter; everything else, and every other adapter, goes through PEFT's own forward.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch

_ADAPTER = "default"


def install(model: Any) -> int:
    """Replace the forward of all layers that qualify; how many there were."""
    from peft.tuners.lora.layer import Linear

    layers = [module for module in model.modules() if type(module) is Linear and _qualifies(module)]
    for layer in layers:
        layer.forward = partial(_forward, layer, layer.forward)
    return len(layers)


def _qualifies(layer: Any) -> bool:
    base = layer.base_layer
    return (
        type(base) is torch.nn.Linear
        and base.bias is None
        and not base.weight.requires_grad
        and _ADAPTER in layer.lora_A
        and not layer.fan_in_fan_out
        and not layer.lora_variant
        and layer.lora_B[_ADAPTER].bias is None
    )


def _forward(layer: Any, original: Callable[..., Any], x: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
    is_plain = not (args or kwargs or layer.disable_adapters or layer.merged) and layer.active_adapters == [_ADAPTER]
    weight, a, b = layer.base_layer.weight, layer.lora_A[_ADAPTER].weight, layer.lora_B[_ADAPTER].weight
    is_one_dtype = weight.dtype == a.dtype == b.dtype or torch.is_autocast_enabled(x.device.type)
    if not (is_plain and is_one_dtype and torch.is_grad_enabled()):
        return original(x, *args, **kwargs)
    dropout = layer.lora_dropout[_ADAPTER]
    dropped = dropout(x) if dropout.training and getattr(dropout, "p", 0.0) else None
    return _FusedLora.apply(x, dropped, weight, a, b, layer.scaling[_ADAPTER])  # type: ignore[no-untyped-call]


class _FusedLora(torch.autograd.Function):
    """x, dropped [..., in], weight [out, in], a [rank, in], b [out, rank] → x·weightᵀ + scale · dropped·aᵀ·bᵀ.

    `dropped` None is x itself.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        dropped: torch.Tensor | None,
        weight: torch.Tensor,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        kind = x.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else weight.dtype
        flat = x.reshape(-1, x.shape[-1]).to(dtype)
        flat_dropped = flat if dropped is None else dropped.reshape(flat.shape).to(dtype)
        low_a, low_b = a.to(dtype), b.to(dtype)
        inner = flat_dropped @ low_a.t()
        result = (flat @ weight.to(dtype).t()).addmm_(inner, low_b.t(), alpha=scale)
        ctx.save_for_backward(flat_dropped, inner, weight, low_a, low_b)
        ctx.scale, ctx.shape, ctx.is_dropped = scale, x.shape, dropped is not None
        ctx.dtypes = (x.dtype, a.dtype, b.dtype)
        return result.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[Any, ...]:
        flat_dropped, inner, weight, a, b = ctx.saved_tensors
        x_dtype, a_dtype, b_dtype = ctx.dtypes
        slope = upstream.reshape(-1, upstream.shape[-1]).to(a.dtype)
        of_inner = slope @ b
        of_b = (slope.t() @ inner).mul_(ctx.scale).to(b_dtype)
        of_a = (of_inner.t() @ flat_dropped).mul_(ctx.scale).to(a_dtype)
        of_x = of_dropped = None
        if ctx.needs_input_grad[0]:
            of_x = slope @ weight.to(a.dtype)
            if not ctx.is_dropped:
                of_x.addmm_(of_inner, a, alpha=ctx.scale)
            of_x = of_x.view(ctx.shape).to(x_dtype)
        if ctx.is_dropped and ctx.needs_input_grad[1]:
            of_dropped = (of_inner @ a).mul_(ctx.scale).view(ctx.shape).to(x_dtype)
        return of_x, of_dropped, None, of_a, of_b, None
