"""An adapter's configuration as Ollama reads it. Pure.

Ollama (0.17) reads `lora_alpha` as a whole number and fails on PEFT's `32.0`; a number with a fraction it takes from
`lora_parameters` only. What else changes an adapter's weights it leaves out without a word, so that is refused here.
"""

import math
from collections.abc import Mapping
from typing import Any

from fettle_api.errors import ImportRefusedError

_NOT_CONVERTED = ("use_dora", "modules_to_save", "alpha_pattern", "rank_pattern", "lora_bias")


def converted_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """`adapter_config.json` for Ollama. Raises ImportRefusedError for an adapter that would become another one there.

    Rank-stabilised LoRA scales by alpha / √r (Kalajdzievski 2023), Ollama by alpha / r: alpha makes up for it.
    """
    odd = [name for name in _NOT_CONVERTED if config.get(name)]
    if config.get("bias", "none") != "none":
        odd.append("bias")
    if odd:
        raise ImportRefusedError(f"Ollama does not convert adapters with {', '.join(odd)}")
    rank, alpha = _number(config.get("r")), _number(config.get("lora_alpha"))
    if rank is None or alpha is None or rank < 1:
        raise ImportRefusedError("the adapter's configuration holds no r and lora_alpha")
    scaled = alpha * (math.sqrt(rank) if config.get("use_rslora") else 1.0)
    kept = {name: config[name] for name in ("peft_type", "target_modules") if name in config}
    converted = {**kept, "r": int(rank), "lora_alpha": max(0, round(scaled))}
    if not scaled.is_integer():
        converted["lora_parameters"] = {"rank": int(rank), "alpha": scaled, "scale": scaled / rank}
    return converted


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None
