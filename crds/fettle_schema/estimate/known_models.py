"""Configurations of a few public models, so that a job can be judged before its model is anywhere near. Facts only.

The numbers are those of each model's config.json on the Hugging Face hub; a config.json in the workspace wins.
"""

from collections.abc import Mapping
from typing import Any


def _config(
    model_type: str,
    vocabulary: int,
    hidden: int,
    intermediate: int,
    layers: int,
    heads: int,
    kv_heads: int,
    **more: Any,
) -> dict[str, Any]:
    return {
        "model_type": model_type,
        "vocab_size": vocabulary,
        "hidden_size": hidden,
        "intermediate_size": intermediate,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "tie_word_embeddings": False,
        **more,
    }


_TIED = {"tie_word_embeddings": True}
_LLAMA_31_8B = _config("llama", 128256, 4096, 14336, 32, 32, 8)
_LLAMA_31_70B = _config("llama", 128256, 8192, 28672, 80, 64, 8)
_LLAMA_32_1B = _config("llama", 128256, 2048, 8192, 16, 32, 8, head_dim=64, **_TIED)
_LLAMA_32_3B = _config("llama", 128256, 3072, 8192, 28, 24, 8, head_dim=128, **_TIED)
_MISTRAL_7B = _config("mistral", 32768, 4096, 14336, 32, 32, 8)

KNOWN_MODELS: Mapping[str, Mapping[str, Any]] = {
    # huggingface.co/meta-llama/Llama-3.1-8B/blob/main/config.json, and so on for each id.
    "meta-llama/Llama-3.1-8B": _LLAMA_31_8B,
    "meta-llama/Llama-3.1-8B-Instruct": _LLAMA_31_8B,
    "meta-llama/Llama-3.1-70B": _LLAMA_31_70B,
    "meta-llama/Llama-3.1-70B-Instruct": _LLAMA_31_70B,
    "meta-llama/Llama-3.3-70B-Instruct": _LLAMA_31_70B,
    "meta-llama/Llama-3.2-1B": _LLAMA_32_1B,
    "meta-llama/Llama-3.2-1B-Instruct": _LLAMA_32_1B,
    "meta-llama/Llama-3.2-3B": _LLAMA_32_3B,
    "meta-llama/Llama-3.2-3B-Instruct": _LLAMA_32_3B,
    "mistralai/Mistral-7B-v0.3": _MISTRAL_7B,
    "mistralai/Mistral-7B-Instruct-v0.3": _MISTRAL_7B,
    "Qwen/Qwen2.5-0.5B-Instruct": _config("qwen2", 151936, 896, 4864, 24, 14, 2, **_TIED),
    "Qwen/Qwen2.5-1.5B-Instruct": _config("qwen2", 151936, 1536, 8960, 28, 12, 2, **_TIED),
    "Qwen/Qwen2.5-7B": _config("qwen2", 152064, 3584, 18944, 28, 28, 4),
    "Qwen/Qwen2.5-7B-Instruct": _config("qwen2", 152064, 3584, 18944, 28, 28, 4),
    "Qwen/Qwen3-0.6B": _config("qwen3", 151936, 1024, 3072, 28, 16, 8, head_dim=128, **_TIED),
    "Qwen/Qwen3-8B": _config("qwen3", 151936, 4096, 12288, 36, 32, 8, head_dim=128),
    "google/gemma-2b": _config("gemma", 256000, 2048, 16384, 18, 8, 1, head_dim=256, **_TIED),
    "google/gemma-2-2b": _config("gemma2", 256000, 2304, 9216, 26, 8, 4, head_dim=256, **_TIED),
    "HuggingFaceTB/SmolLM2-135M-Instruct": _config("llama", 49152, 576, 1536, 30, 9, 3, **_TIED),
}


def known_config(model_id: str) -> Mapping[str, Any] | None:
    """The configuration of a public model; None if it is not bundled."""
    return KNOWN_MODELS.get(model_id)
