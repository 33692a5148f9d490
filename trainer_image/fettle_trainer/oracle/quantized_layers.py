"""bitsandbytes' layers under fake tensors: PEFT takes them for the real ones.

Quantizing needs values, which fake tensors do not have, so that layers are made as if quantized: packed weights and
scales of the right sizes. 4-bit layers then run bitsandbytes' own autograd function, whose operators have fake
implementations. The 8-bit one looks for outlier columns, which needs values too: a stand-in allocates and keeps what
it would.
"""

from typing import Any

import bitsandbytes
import torch
from bitsandbytes.autograd._functions import MatMul4Bit
from bitsandbytes.functional import QuantState

_BLOCK = 64
_NESTED_BLOCK = 256


def quantize(model: Any, bits: int, *, double_quantization: bool, compute: torch.dtype) -> None:
    """Replace all linear layers of `model` but its head."""
    head = model.get_output_embeddings()
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, torch.nn.Linear) and layer is not head:
                made = _four_bit(layer, compute, double_quantization) if bits == 4 else _eight_bit(layer)
                setattr(parent, name, made)
    setattr(model, f"is_loaded_in_{bits}bit", True)


def _bare(kind: Any, layer: torch.nn.Linear) -> Any:
    made = kind.__new__(kind)
    torch.nn.Module.__init__(made)
    made.in_features, made.out_features, made.bias = layer.in_features, layer.out_features, layer.bias
    made.is_loaded_in_8bit = False
    return made


def _four_bit(layer: torch.nn.Linear, compute: torch.dtype, double_quantization: bool) -> Any:
    made = _bare(bitsandbytes.nn.Linear4bit, layer)
    count = layer.weight.numel()
    made.weight = torch.nn.Parameter(torch.empty((count + 1) // 2, 1, dtype=torch.uint8), requires_grad=False)
    blocks = -(-count // _BLOCK)
    nested = None
    if double_quantization:
        absmax = torch.empty(-(-blocks // _NESTED_BLOCK), dtype=torch.float32)
        nested = QuantState(absmax=absmax, blocksize=_NESTED_BLOCK, code=torch.empty(256), dtype=torch.float32)
    state = QuantState(
        absmax=torch.empty(blocks, dtype=torch.uint8 if double_quantization else torch.float32),
        shape=torch.Size((layer.out_features, layer.in_features)),
        dtype=compute,
        blocksize=_BLOCK,
        code=torch.empty(16),
        quant_type="nf4",
        offset=torch.empty(()) if double_quantization else None,
        state2=nested,
    )
    made.weight.compress_statistics, made.weight.quant_type = double_quantization, "nf4"
    made.weight.quant_state = made.quant_state = state
    made.compute_dtype, made.quant_storage = compute, torch.uint8

    def forward(x: torch.Tensor) -> Any:
        bias = None if made.bias is None else made.bias.to(compute)
        return MatMul4Bit.apply(x.to(compute), made.weight, None, bias, state).to(x.dtype)

    made.forward = forward
    return made


def _eight_bit(layer: torch.nn.Linear) -> Any:
    made = _bare(bitsandbytes.nn.Linear8bitLt, layer)
    made.weight = torch.nn.Parameter(torch.empty(layer.weight.shape, dtype=torch.int8), requires_grad=False)
    made.scales = torch.empty(layer.out_features)
    made.state = bitsandbytes.MatmulLtState()
    made.index = None
    made.forward = lambda x: _EightBit.apply(x, made.weight, made.scales, made.bias)  # type: ignore[no-untyped-call]
    return made


class _EightBit(torch.autograd.Function):
    """What MatMul8bitLt allocates: the input is quantized, kept, and in the backward pass the weight is expanded."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, bias: Any) -> torch.Tensor:
        quantized = x.to(torch.float16).to(torch.int8)
        result = x.new_empty(*x.shape[:-1], weight.shape[0])
        if bias is not None:
            result += bias
        del quantized
        ctx.kept, ctx.weight, ctx.scales = x, weight, scales
        return result

    @staticmethod
    def backward(ctx: Any, upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        expanded = ctx.weight.to(ctx.kept.dtype).mul_(ctx.scales.unsqueeze(1))
        return upstream.to(ctx.kept.dtype) @ expanded, None, None, None
