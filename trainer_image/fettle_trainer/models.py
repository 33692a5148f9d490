"""Finding the base model and loading it. Whatever goes wrong with it ends the run with code 66 and a hint."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle_schema.layout import MODELS
from fettle_schema.training_job import BaseModelSpec
from fettle_schema.vocabulary import ExitCode
from fettle_trainer.devices import Precision, torch_dtype
from fettle_trainer.failures import TrainerFailure, is_disk_full

_DESCRIPTION_FILES = ["*.json", "*.model", "*.txt", "*.jinja", "*.tiktoken"]
_HUB_FILES = [*_DESCRIPTION_FILES, "*.safetensors"]


@dataclass(frozen=True)
class BaseModel:
    """A base model that lies on this machine."""

    name: str
    """As the spec names it: the hub id, or the path inside the workspace. This is what an adapter refers to."""
    directory: Path
    revision: str
    """Commit on the hub, or `sha256:…` of what identifies local files."""


def resolve_base_model(spec: BaseModelSpec, workspace: Path, *, with_weights: bool = True) -> BaseModel:
    """The model's directory: `path`, else `models/<id>` in the workspace, else the hub and its cache.

    Without weights, only what describes the model is fetched from the hub.
    """
    if spec.path is not None:
        directory = workspace / spec.path
        _require_model(directory, f"spec.baseModel.path: {spec.path!r}")
        return BaseModel(spec.path, directory, revision_of_files(directory))
    assert spec.id is not None, "admission lets exactly one of id and path through"
    local = workspace / MODELS / spec.id
    if (local / "config.json").is_file():
        return BaseModel(spec.id, local, revision_of_files(local))
    snapshot = _download(spec.id, spec.revision, _HUB_FILES if with_weights else _DESCRIPTION_FILES)
    _require_model(snapshot, f"spec.baseModel.id: {spec.id!r}")
    return BaseModel(spec.id, snapshot, snapshot.name)


def find_in_workspace(spec: BaseModelSpec, workspace: Path) -> Path | None:
    """The model's directory if it lies in the workspace, before anything is downloaded."""
    directory = workspace / (spec.path or f"{MODELS}/{spec.id}")
    return directory if (directory / "config.json").is_file() else None


def revision_of_files(directory: Path) -> str:
    """A digest of the configuration and of the names and sizes of the weights; it does not read the weights."""
    digest = hashlib.sha256()
    for path in sorted([*directory.glob("*.json"), *directory.glob("*.safetensors")]):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        if path.name in ("config.json", "model.safetensors.index.json"):
            digest.update(path.read_bytes())
    return f"sha256:{digest.hexdigest()}"


def load_tokenizer(model: BaseModel) -> Any:
    """The model's own tokenizer."""
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(model.directory, local_files_only=True)
    except Exception as error:  # whatever a foreign directory makes the library raise, it is this directory
        raise _unusable(model, "its tokenizer cannot be loaded", error) from error
    if tokenizer.eos_token_id is None:
        raise _unusable(model, "its tokenizer has no end-of-sequence token")
    if not tokenizer.is_fast:
        raise _unusable(model, "its tokenizer gives no character offsets (not a fast tokenizer)")
    return tokenizer


def load_causal_model(model: BaseModel, precision: Precision, attention: str, quantization: Any = None) -> Any:
    """The weights, in the dtype that training computes in, or quantized. MemoryError and torch's own pass through."""
    import torch
    from transformers import AutoModelForCausalLM

    dtype = torch_dtype(precision)
    options: dict[str, Any] = {} if attention == "auto" else {"attn_implementation": attention}
    if quantization is not None:
        options |= {"quantization_config": quantization, "device_map": {"": _device()}}
    try:
        return AutoModelForCausalLM.from_pretrained(model.directory, dtype=dtype, local_files_only=True, **options)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # whatever a foreign directory makes the library raise, it is this directory
        if "memory" in str(error).lower():
            raise
        raise _unusable(model, "its weights cannot be loaded", error) from error


def load_skeleton(model: BaseModel) -> Any:
    """The model's layers without weights: what they are called and how large they are."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(model.directory, local_files_only=True)
        with torch.device("meta"):
            return AutoModelForCausalLM.from_config(config)
    except Exception as error:  # whatever a foreign directory makes the library raise, it is this directory
        raise _unusable(model, "its configuration describes no model that can be trained", error) from error


def stored_dtype(model: BaseModel) -> Any:
    """The dtype of the model's files, as its configuration tells; fp32 where it does not."""
    import torch
    from transformers import AutoConfig

    dtype = AutoConfig.from_pretrained(model.directory, local_files_only=True).dtype
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


def _device() -> int | str:
    """Where this process trains."""
    import torch

    return int(os.environ.get("LOCAL_RANK", "0")) if torch.cuda.is_available() else "cpu"


def loaded_bytes() -> int:
    """Memory held now, and bytes that lie in the hub's cache: grows while a model is downloaded or read."""
    from fettle_trainer.devices import resident_bytes

    cache = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser() / "hub"
    unfinished = cache.glob("models--*/blobs/*.incomplete")
    return resident_bytes() + sum(path.stat().st_size for path in unfinished if path.exists())


def _require_model(directory: Path, subject: str) -> None:
    if not (directory / "config.json").is_file():
        what = "has no config.json" if directory.is_dir() else "does not exist in the workspace"
        raise TrainerFailure(
            ExitCode.MODEL,
            f"{subject} {what}",
            "Give a directory with a model in Hugging Face format, relative to the workspace, or a hub id in "
            "spec.baseModel.id; `fettle models fetch` puts a model there.",
        )


def _download(model_id: str, revision: str | None, patterns: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    subject = f"spec.baseModel.id: {model_id!r}"
    try:
        return Path(snapshot_download(model_id, revision=revision, allow_patterns=patterns))
    except GatedRepoError as error:
        message, hint = "is gated", "Accept its terms on the hub and give HF_TOKEN by spec.credentials.secretName."
        raise TrainerFailure(ExitCode.MODEL, f"{subject} {message}", hint) from error
    except RevisionNotFoundError as error:
        raise TrainerFailure(
            ExitCode.MODEL, f"spec.baseModel.revision: {revision!r} does not exist in {model_id!r}", "Correct it."
        ) from error
    except RepositoryNotFoundError as error:
        raise TrainerFailure(
            ExitCode.MODEL,
            f"{subject} was not found on the hub, or is private",
            "Check the spelling; a private model needs HF_TOKEN by spec.credentials.secretName.",
        ) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        if is_disk_full(error):
            raise
        raise TrainerFailure(
            ExitCode.MODEL,
            f"{subject} is neither in the workspace (models/{model_id}) nor in the hub's cache (huggingface/hub), "
            "and the hub cannot be reached",
            f"Put the model into models/{model_id} of the workspace (`fettle models fetch`), or allow the network.",
        ) from error


def _unusable(model: BaseModel, what: str, error: Exception | None = None) -> TrainerFailure:
    reason = f" ({type(error).__name__}: {str(error)[:500]})" if error is not None else ""
    return TrainerFailure(
        ExitCode.MODEL,
        f"spec.baseModel: {model.name!r} cannot be used: {what}{reason}",
        "It must be a causal language model in Hugging Face format: config.json, safetensors and a tokenizer.",
    )
