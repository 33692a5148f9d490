"""The base model of an engine: found, loaded, and measured for what a token of its cache costs."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.serve.limits import EngineLimits


@dataclass(frozen=True)
class LoadedModel:
    """A model that is ready to answer."""

    model: Any
    tokenizer: Any
    context_length: int
    """Most tokens of prompt and answer that it was made for."""
    cache_bytes_per_token: int
    end_tokens: frozenset[int]
    default_sampling: dict[str, float]
    """What the model's authors recommend: its generation_config.json."""


def find_model(name: str) -> Path:
    """Directory of a model that is given as a directory, or as a hub id that lies in the hub's cache."""
    directory = Path(name)
    if not directory.is_dir() and not directory.is_absolute():
        from fettle_schema.training_job import BaseModelSpec
        from fettle_trainer.models import resolve_base_model

        return resolve_base_model(BaseModelSpec(id=name), Path()).directory
    if not (directory / "config.json").is_file():
        raise TrainerFailure(ExitCode.MODEL, f"{name!r} is not a model directory", "Give the base model.")
    return directory


def load_model(directory: Path, precision: str = "auto") -> LoadedModel:
    """Load model and tokenizer; TrainerFailure (66) says why they cannot be used."""
    sys.modules.setdefault("bitsandbytes", None)  # type: ignore[arg-type] # not needed, and slow to import
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    from fettle_trainer.devices import choose_precision, torch_dtype
    from fettle_trainer.serve.attention import use_grouped_attention

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    uses_gpu = torch.cuda.is_available()
    dtype = torch_dtype(choose_precision(precision, uses_gpu=uses_gpu))
    try:
        tokenizer = AutoTokenizer.from_pretrained(directory, local_files_only=True)
        model = AutoModelForCausalLM.from_pretrained(directory, dtype=dtype, local_files_only=True)
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise TrainerFailure(
            ExitCode.MODEL,
            f"the model in {str(directory)!r} cannot be loaded ({type(error).__name__}: {str(error)[:300]})",
            "It must be a causal language model in Hugging Face format: config.json, safetensors and a tokenizer.",
        ) from error
    model = model.eval().to("cuda" if uses_gpu else "cpu")
    use_grouped_attention(model)
    config = model.config.get_text_config()
    return LoadedModel(
        model,
        tokenizer,
        context_length=int(getattr(config, "max_position_embeddings", None) or 4096),
        cache_bytes_per_token=_cache_bytes_per_token(model),
        end_tokens=_end_tokens(model, tokenizer),
        default_sampling=_default_sampling(model),
    )


def choose_limits(loaded: LoadedModel, max_length: int | None, cache_bytes: int, **others: int) -> EngineLimits:
    """The engine's limits; TrainerFailure (64) if one answer of `max_length` would not fit into `cache_bytes`."""
    length = min(max_length or loaded.context_length, loaded.context_length)
    tokens = cache_bytes // loaded.cache_bytes_per_token
    if max_length is None:
        length = min(length, tokens)
    if length > tokens or length < 2:
        raise TrainerFailure(
            ExitCode.CONFIGURATION,
            f"--max-length {length} needs {length * loaded.cache_bytes_per_token >> 20} MiB of keys and values, "
            f"--cache-mib sets {cache_bytes >> 20} aside",
            "Lower --max-length or raise --cache-mib.",
        )
    return EngineLimits(max_length=length, cache_tokens=tokens, **others)


def _cache_bytes_per_token(model: Any) -> int:
    import torch
    from transformers.cache_utils import DynamicCache

    own = DynamicCache(config=model.config)
    if any(not hasattr(layer, "keys") or hasattr(layer, "conv_states") for layer in own.layers):
        raise TrainerFailure(
            ExitCode.MODEL,
            f"model type {model.config.model_type!r} has layers that are no attention (a state instead of keys and "
            "values)",
            "This engine serves attention models only; serve this one with vLLM.",
        )
    cache = DynamicCache()
    with torch.inference_mode():
        model(input_ids=torch.tensor([[0]], device=model.device), past_key_values=cache, use_cache=True)
    return sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    known = model.generation_config.eos_token_id  # several models end a turn with another token than a text
    listed = known if isinstance(known, list) else [known]
    return frozenset(token for token in [*listed, tokenizer.eos_token_id] if token is not None)


def _default_sampling(model: Any) -> dict[str, float]:
    names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty")
    given = {name: getattr(model.generation_config, name, None) for name in names}
    return {name: value for name, value in given.items() if value is not None}
