"""What lies in an adapter's directory, and whether this engine can serve it. Reads no weights; needs no torch.

Everything is decided here, before a weight is touched: a refusal names what stands in the way.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle_schema.layout import ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE, ADAPTERS, is_artifact_directory
from fettle_trainer.publish import directory_digest
from fettle_trainer.serve.errors import InvalidInputError, NotFoundError
from fettle_trainer.tensor_files import DamagedTensorFileError, TensorFile

_TENSOR_NAME = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<part>[AB])\.weight")
_EXTRAS = {
    "use_dora": "DoRA scales the base's own weights",
    "modules_to_save": "it carries whole modules of its own",
    "trainable_token_indices": "it carries embeddings of its own",
    "target_parameters": "it changes parameters that are no linear layers",
    "layer_replication": "it changes the number of layers",
    "alora_invocation_tokens": "it begins in the middle of a text (aLoRA)",
    "lora_bias": "it has biases",
    "use_qalora": "it groups its inputs (QALoRA)",
    "use_bdlora": "its matrices are block-diagonal",
    "arrow_config": "it chooses among others (Arrow)",
    "kasa_config": "its matrices are scaled (KaSA)",
    "monteclora_config": "it samples its weights (MonteCLoRA)",
    "velora_config": "it compresses its inputs (VeLoRA)",
}
_BASE_CHANGING_INITS = ("pissa", "olora", "corda", "loftq", "lora_ga")


@dataclass(frozen=True)
class LoraPair:
    """The two matrices that one linear layer of the base gets."""

    rank: int
    scale: float
    input_size: int
    output_size: int


@dataclass(frozen=True)
class AdapterFiles:
    """A LoRA adapter that can be served beside others."""

    directory: Path
    pairs: Mapping[str, LoraPair]
    """By the name of the base's layer."""

    @property
    def rank(self) -> int:
        """The largest."""
        return max(pair.rank for pair in self.pairs.values())

    def tensor_names(self, module: str) -> tuple[str, str]:
        """The matrices A and B of a layer, as the weights' file names them."""
        return f"base_model.model.{module}.lora_A.weight", f"base_model.model.{module}.lora_B.weight"


def read_adapter(directory: Path) -> AdapterFiles:
    """Read configuration and shapes; NotFoundError names a missing file, InvalidInputError what cannot be served."""
    for name in (ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE):
        if not (directory / name).is_file():
            raise NotFoundError(f"No adapter found for {directory!s}: {name} is missing there.", "lora_path")
    require_unchanged(directory)
    try:
        config = json.loads((directory / ADAPTER_CONFIG_FILE).read_text(encoding="utf-8"))
        with TensorFile(directory / ADAPTER_WEIGHTS_FILE) as file:
            shapes = {name: list(entry.shape) for name, entry in file.entries.items()}
        require_plain_lora(config)
        return AdapterFiles(directory, _pairs(config, shapes))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, DamagedTensorFileError) as error:
        reason = f"{type(error).__name__}: {str(error)[:200]}"
        raise _refusal(f"the adapter in {str(directory)!r} cannot be read ({reason})") from error


def require_unchanged(directory: Path) -> None:
    """InvalidInputError for a published adapter (its path ends with its digest) whose files are not those any more."""
    if not is_artifact_directory("/".join(directory.parts[-3:]), ADAPTERS):
        return
    found = directory_digest(directory)
    if not found.removeprefix("sha256:").startswith(directory.name):
        raise _refusal(
            f"the files in {str(directory)!r} were changed after publishing: their digest is {found}, "
            f"not {directory.name}…"
        )


def require_plain_lora(config: dict[str, Any]) -> None:
    """InvalidInputError names the first setting with which rows of several adapters cannot share a batch."""
    if config.get("peft_type") != "LORA":
        raise _refusal(f"peft_type {config.get('peft_type')!r} cannot be served; only LORA can")
    for name, reason in _EXTRAS.items():
        if config.get(name):
            raise _refusal(f"{name} is set: {reason}; only plain LoRA can be served. Merge it into the base instead")
    if config.get("bias", "none") != "none":
        raise _refusal(f"bias {config['bias']!r} changes the base's own biases; only 'none' can be served")
    init = config.get("init_lora_weights")
    if isinstance(init, str) and init.lower().startswith(_BASE_CHANGING_INITS):
        raise _refusal(f"init_lora_weights {init!r} changes the base's own weights; convert it to plain LoRA first")


def _pairs(config: dict[str, Any], shapes: dict[str, list[int]]) -> dict[str, LoraPair]:
    found: dict[str, dict[str, list[int]]] = {}
    for name, shape in shapes.items():
        match = _TENSOR_NAME.fullmatch(name)
        if match is None or len(shape) != 2:
            raise _refusal(f"tensor {name!r} is no LoRA matrix of a linear layer; only those can be served")
        found.setdefault(match["module"], {})[match["part"]] = shape
    if not found:
        raise _refusal("the adapter holds no LoRA matrices")
    return {module: _pair(config, module, parts) for module, parts in found.items()}


def _pair(config: dict[str, Any], module: str, parts: dict[str, list[int]]) -> LoraPair:
    if set(parts) != {"A", "B"} or parts["A"][0] != parts["B"][1] or parts["A"][0] < 1:
        raise _refusal(f"the matrices of {module!r} do not fit each other: {parts}")
    rank = parts["A"][0]
    alpha = float(_by_pattern(config.get("alpha_pattern") or {}, module, config["lora_alpha"]))
    divisor = math.sqrt(rank) if config.get("use_rslora") else rank
    return LoraPair(rank, alpha / divisor, input_size=parts["A"][1], output_size=parts["B"][0])


def _by_pattern(patterns: dict[str, Any], module: str, default: Any) -> Any:
    # PEFT's rule: a pattern is an expression for the end of the name (peft.utils.other.get_pattern_key).
    return next((value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module)), default)


def _refusal(message: str) -> InvalidInputError:
    return InvalidInputError(f"{message}.", "lora_path")
