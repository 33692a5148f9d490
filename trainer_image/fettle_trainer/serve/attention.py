"""Attention of one new token for each row, without a copy of keys and values for every query head.

Most models share one head of keys and values among several of queries. transformers copies the shared ones before
each pass; for a single new token the query heads of a group can stand where a prompt's positions stand. Same numbers.
"""

from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

_NAME = "fettle_grouped"


def use_grouped_attention(model: Any) -> None:
    """Let `model` attend that way; one that attends in another than PyTorch's own way stays as it is."""
    from transformers import AttentionInterface, AttentionMaskInterface
    from transformers.masking_utils import sdpa_mask

    if model.config._attn_implementation == "sdpa":
        AttentionInterface.register(_NAME, grouped_attention)
        AttentionMaskInterface.register(_NAME, sdpa_mask)
        model.set_attn_implementation(_NAME)


def grouped_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """As transformers calls it: [rows, heads, positions, size] in, [rows, positions, heads, size] out."""
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    rows, heads, positions, size = query.shape
    if positions != 1 or heads == key.shape[1] or options.get("position_bias") is not None:
        whole, _ = sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **options)
        return whole, None
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], size)
    attended = scaled_dot_product_attention(grouped, key, value, attn_mask=attention_mask, scale=scaling)
    return attended.reshape(rows, 1, heads, value.shape[-1]), None
