"""The dimensions of a model, from its config.json, and exact counts of parameters. Pure.

Knows dense decoders only. Mixtures of experts, hybrid attention and models with a vision part are refused by name; an
unknown `model_type` is read as Llama's, and the shape says that it may be wrong.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from fettle_schema.estimate.errors import EstimateError, MissingKeyError, UnsupportedModelError

Confidence = Literal["high", "medium", "low"]

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj")
MLP = ("gate_proj", "up_proj", "down_proj")
ALL_LINEAR = "all-linear"


@dataclass(frozen=True)
class _Architecture:
    """What a `model_type` fixes; see transformers' modeling_<model_type>.py."""

    qkv_bias: bool | None = None
    """None: as `attention_bias` says."""
    output_bias: bool | None = None
    mlp_bias: bool | None = None
    """None: as `mlp_bias` says."""
    head_norms: bool = False
    """RMSNorm over each head of queries and keys."""
    norms: int = 2
    """RMSNorms over the hidden size in one layer."""
    tied: bool = False
    """Value of `tie_word_embeddings` where the configuration is silent."""
    note: str = ""
    """What of its memory is not modelled; the confidence is then medium."""


_SOFT_CAP = "attention and logits with a soft cap, and norms after each block, are not modelled exactly"

_ARCHITECTURES: dict[str, _Architecture] = {
    "llama": _Architecture(),
    "mistral": _Architecture(qkv_bias=False, output_bias=False, mlp_bias=False),
    "qwen2": _Architecture(qkv_bias=True, output_bias=False, mlp_bias=False),
    "qwen3": _Architecture(mlp_bias=False, head_norms=True),
    "gemma": _Architecture(mlp_bias=False, tied=True),
    "gemma2": _Architecture(mlp_bias=False, norms=4, tied=True, note=_SOFT_CAP),
    "gemma3_text": _Architecture(mlp_bias=False, head_norms=True, norms=4, tied=True, note=_SOFT_CAP),
}

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts", "moe_intermediate_size", "num_experts_per_tok")
_HYBRID = ("full_attention_interval", "mamba_d_state", "ssm_cfg", "attn_layer_period", "linear_num_key_heads", "rwkv")
_VISION = ("vision_config", "audio_config", "text_config")
_LATENT = ("kv_lora_rank", "q_lora_rank")


@dataclass(frozen=True)
class ModelShape:
    """Dimensions of a dense decoder."""

    model_type: str
    vocabulary: int
    hidden: int
    intermediate: int
    layers: int
    heads: int
    kv_heads: int
    head_size: int
    tied: bool
    """Whether head and embedding are one matrix."""
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    head_norms: bool = False
    norms: int = 2
    confidence: Confidence = "high"
    notes: tuple[str, ...] = ()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "ModelShape":
        """Read a config.json; EstimateError names what is missing, or says why the formulas do not hold."""
        model_type = str(config.get("model_type") or "")
        _refuse(config, model_type)
        known = _ARCHITECTURES.get(model_type)
        architecture = known or _Architecture()
        hidden, heads = _count(config, "hidden_size"), _count(config, "num_attention_heads")
        has_head_size = config.get("head_dim") is not None
        if not has_head_size and hidden % heads:
            raise EstimateError(f"config.json: hidden_size {hidden} is no multiple of num_attention_heads {heads}")
        attention_bias = bool(config.get("attention_bias", False))
        return cls(
            model_type=model_type or "unknown",
            vocabulary=_count(config, "vocab_size"),
            hidden=hidden,
            intermediate=_count(config, "intermediate_size"),
            layers=_count(config, "num_hidden_layers"),
            heads=heads,
            kv_heads=_count(config, "num_key_value_heads") if config.get("num_key_value_heads") is not None else heads,
            head_size=_count(config, "head_dim") if has_head_size else hidden // heads,
            tied=bool(config.get("tie_word_embeddings", architecture.tied)),
            qkv_bias=attention_bias if architecture.qkv_bias is None else architecture.qkv_bias,
            output_bias=attention_bias if architecture.output_bias is None else architecture.output_bias,
            mlp_bias=bool(config.get("mlp_bias", False)) if architecture.mlp_bias is None else architecture.mlp_bias,
            head_norms=architecture.head_norms,
            norms=architecture.norms,
            **_judgement(known, model_type),
        )

    @property
    def query_size(self) -> int:
        """Width of all query heads."""
        return self.heads * self.head_size

    @property
    def kv_size(self) -> int:
        """Width of all key heads; values are as wide."""
        return self.kv_heads * self.head_size

    @cached_property
    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """Linear layers of one decoder layer: name → (in, out)."""
        hidden, query, kv, inner = self.hidden, self.query_size, self.kv_size, self.intermediate
        return {
            "q_proj": (hidden, query),
            "k_proj": (hidden, kv),
            "v_proj": (hidden, kv),
            "o_proj": (query, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }

    @cached_property
    def layer_linear_parameters(self) -> int:
        """Weights of the linear layers of one decoder layer, without biases: what is quantized."""
        return sum(width_in * width_out for width_in, width_out in self.linear_layers.values())

    @cached_property
    def layer_parameters(self) -> int:
        """Parameters of one decoder layer."""
        biases = (
            (self.query_size + 2 * self.kv_size if self.qkv_bias else 0)
            + (self.hidden if self.output_bias else 0)
            + (2 * self.intermediate + self.hidden if self.mlp_bias else 0)
        )
        norms = self.norms * self.hidden + (2 * self.head_size if self.head_norms else 0)
        return self.layer_linear_parameters + biases + norms

    @property
    def embedding_parameters(self) -> int:
        """The embedding; the head has as many, if it is not the same matrix."""
        return self.vocabulary * self.hidden

    @cached_property
    def parameters(self) -> int:
        """All parameters."""
        matrices = 1 if self.tied else 2
        return matrices * self.embedding_parameters + self.layers * self.layer_parameters + self.hidden

    def targets(self, names: Iterable[str]) -> tuple[str, ...]:
        """Names of `spec.adapter.targetModules` → linear layers, embedding and head that get an adapter.

        PEFT takes a name for every module whose path ends in it, so that only the last part counts here.
        """
        wanted = {name.rpartition(".")[2] for name in names}
        if ALL_LINEAR in wanted:
            return tuple(self.linear_layers)
        known = (*self.linear_layers, "embed_tokens", "lm_head")
        unknown = sorted(wanted - set(known))
        if unknown:
            raise EstimateError(
                f"spec.adapter.targetModules: a {self.model_type} model has no {', '.join(map(repr, unknown))}; "
                f"use {ALL_LINEAR}, or some of {', '.join(known)}"
            )
        return tuple(name for name in known if name in wanted)

    def lora_parameters(self, rank: int, names: Iterable[str] = (ALL_LINEAR,)) -> int:
        """Parameters of a LoRA adapter: rank × (in + out) for each layer that it is put on."""
        return sum(
            rank * (width_in + width_out) * (self.layers if name in self.linear_layers else 1)
            for name in self.targets(names)
            for width_in, width_out in [self.linear_layers.get(name, (self.hidden, self.vocabulary))]
        )


def _count(config: Mapping[str, Any], key: str) -> int:
    value = config.get(key)
    if value is None or isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise MissingKeyError(key)
    return value


def _judgement(known: _Architecture | None, model_type: str) -> dict[str, Any]:
    if known is None:
        return {"confidence": "low", "notes": (f"model_type {model_type!r} is unknown and was read as llama's",)}
    if known.note:
        return {"confidence": "medium", "notes": (f"{model_type}: {known.note}",)}
    return {}


def _refuse(config: Mapping[str, Any], model_type: str) -> None:
    def found(keys: Iterable[str]) -> str | None:
        return next((key for key in keys if config.get(key)), None)

    subject = f"model_type {model_type!r}"
    if key := found(_VISION):
        raise UnsupportedModelError(
            f"{subject} has a {key}: models with further parts than text are not estimated; nothing is guessed"
        )
    if key := found(_EXPERTS):
        raise UnsupportedModelError(f"{subject} is a mixture of experts ({key}): not estimated; nothing is guessed")
    kinds = {str(kind) for kind in config.get("layer_types") or []} - {"full_attention", "sliding_attention"}
    if (key := found(_HYBRID)) or kinds:
        reason = key or f"layer_types: {', '.join(sorted(kinds))}"
        raise UnsupportedModelError(f"{subject} has hybrid attention ({reason}): not estimated; nothing is guessed")
    if key := found(_LATENT):
        raise UnsupportedModelError(f"{subject} has latent attention ({key}): not estimated; nothing is guessed")
    if config.get("is_encoder_decoder"):
        raise UnsupportedModelError(f"{subject} is an encoder-decoder: only causal language models are trained")
    if config.get("quantization_config"):
        raise UnsupportedModelError(f"{subject} is quantized already (quantization_config): train on the original")
