"""What a LoRA adapter does to the tensors of its base model: read from its two files, applied to one tensor at a time.

The arithmetic follows PEFT's `merge_and_unload` operation by operation, so that the results are equal bit by bit.
Writes nothing.
"""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from fettle_schema.layout import ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE
from fettle_schema.vocabulary import ExitCode
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.tensor_files import FLOATING_DTYPES, DamagedTensorFileError, TensorEntry, TensorFile

if TYPE_CHECKING:
    import torch

HINT = "Give an adapter that this trainer published, or merge this one with PEFT itself."

_PREFIX = "base_model.model."
_UNSUPPORTED = (
    "fan_in_fan_out",
    "lora_bias",
    "rank_pattern",
    "alpha_pattern",
    "layer_replication",
    "target_parameters",
    "trainable_token_indices",
    "use_qalora",
    "use_bdlora",
    "alora_invocation_tokens",
    "arrow_config",
    "velora_config",
    "monteclora_config",
    "kasa_config",
    "megatron_config",
)
"""Settings of PEFT under which a merge is another computation."""


@dataclass(frozen=True)
class Change:
    """What becomes of one tensor: another in its place, then `weight + scaling · B·A`, then DoRA's magnitude."""

    factor_a: str | None = None
    factor_b: str | None = None
    magnitude: str | None = None
    replacement: str | None = None


class AdapterChanges:
    """An open adapter. `changes` goes from names of the base model's tensors to what is done to them."""

    def __init__(self, directory: Path) -> None:
        self.config = _read_config(directory)
        self.modules_to_save: list[str] = self.config.get("modules_to_save") or []
        try:
            self._file = TensorFile(directory / ADAPTER_WEIGHTS_FILE)
        except OSError as error:
            raise adapter_failure(f"{ADAPTER_WEIGHTS_FILE} cannot be read: {error.strerror}") from error
        except DamagedTensorFileError as error:
            raise adapter_failure(f"{ADAPTER_WEIGHTS_FILE} is damaged: {error}") from error
        try:
            self.rank = int(self.config["r"])
            alpha = self.config["lora_alpha"]
            self.scaling = alpha / math.sqrt(self.rank) if self.config.get("use_rslora") else alpha / self.rank
            self.changes = _changes(self._file.entries, is_dora=bool(self.config.get("use_dora")))
        except (KeyError, TypeError, ValueError, ZeroDivisionError) as error:
            self._file.__exit__(None, None, None)
            raise adapter_failure(f"{ADAPTER_CONFIG_FILE} holds no usable r and lora_alpha") from error
        except BaseException:
            self._file.__exit__(None, None, None)
            raise

    def __enter__(self) -> "AdapterChanges":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, t: TracebackType | None) -> None:
        self._file.__exit__(kind, error, t)

    def replaces_module(self, tensor_name: str) -> bool:
        """Whether `tensor_name` belongs to a module that was trained whole, in a copy of its own."""
        module = tensor_name.rpartition(".")[0]
        is_copied = any(module == name or module.endswith(f".{name}") for name in self.modules_to_save)
        return is_copied and tensor_name in self.changes

    def require_fit(self, entry: TensorEntry) -> None:
        """Refuse a change that this tensor of the base model cannot take; the message names both."""
        change = self.changes[entry.name]
        if entry.dtype not in ("F32", "F16", "BF16"):
            raise adapter_failure(f"{entry.name!r} of the base model is stored as {entry.dtype}, not as plain numbers")
        if change.replacement is not None:
            self._require_shape(change.replacement, entry.shape, entry.name)
        if change.factor_a is None or change.factor_b is None:
            return
        if len(entry.shape) != 2:
            raise adapter_failure(f"{entry.name!r} of the base model is no linear layer")
        self._require_shape(change.factor_a, (self.rank, entry.shape[1]), entry.name)
        self._require_shape(change.factor_b, (entry.shape[0], self.rank), entry.name)
        if change.magnitude is not None:
            self._require_shape(change.magnitude, (entry.shape[0],), entry.name)

    def apply(self, name: str, weight: "torch.Tensor") -> "torch.Tensor":
        """The tensor after the change; `weight` may be overwritten. TrainerFailure (71) if it is not finite."""
        import torch

        change = self.changes[name]
        if change.replacement is not None:
            weight = self._read(change.replacement).to(weight.dtype)
        result = self._merge(change, weight)
        if not torch.isfinite(torch.stack(torch.aminmax(result))).all():  # in one pass, without a copy
            raise TrainerFailure(
                ExitCode.NON_FINITE,
                f"the merged tensor {name!r} is not finite",
                "The adapter or the base model holds numbers that are not finite, or too large for the base's dtype.",
            )
        return result

    def _merge(self, change: Change, weight: "torch.Tensor") -> "torch.Tensor":
        import torch

        if change.factor_a is None or change.factor_b is None:
            return weight
        # PEFT holds the factors in fp32, whatever the base model is in.
        delta = (self._read(change.factor_b).float() @ self._read(change.factor_a).float()).mul_(self.scaling)
        if change.magnitude is None:
            weight += delta
            return weight
        norm = torch.linalg.norm(weight + delta, dim=1)
        factor = (self._read(change.magnitude).float() / norm).view(-1, 1)
        merged: torch.Tensor = factor * (weight + delta)
        return merged.to(weight.dtype)

    def _read(self, name: str) -> "torch.Tensor":
        try:
            return self._file.read(name)
        except DamagedTensorFileError as error:
            raise adapter_failure(f"{ADAPTER_WEIGHTS_FILE} is damaged: {error}") from error

    def _require_shape(self, name: str, expected: tuple[int, ...], base_name: str) -> None:
        shape = self._file.entries[name].shape
        if shape != expected:
            raise adapter_failure(
                f"{name!r} has the shape {list(shape)}; {base_name!r} of the base model and the rank {self.rank} "
                f"need {list(expected)}"
            )


def adapter_failure(message: str) -> TrainerFailure:
    """An adapter that cannot be merged into this base model."""
    return TrainerFailure(ExitCode.MODEL, f"the adapter cannot be merged: {message}", HINT)


def _read_config(directory: Path) -> dict[str, Any]:
    try:
        config = json.loads((directory / ADAPTER_CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise adapter_failure(f"{ADAPTER_CONFIG_FILE} is missing or cannot be read") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        kind = config.get("peft_type") if isinstance(config, dict) else None
        raise adapter_failure(f"its peft_type is {kind!r}; only 'LORA' has factors to merge")
    for field in _UNSUPPORTED:
        if config.get(field):
            raise adapter_failure(f"{field} is set in {ADAPTER_CONFIG_FILE}")
    return config


def _changes(entries: dict[str, TensorEntry], *, is_dora: bool) -> dict[str, Change]:
    parts: dict[str, dict[str, str]] = {}
    for name, entry in entries.items():
        if entry.dtype not in FLOATING_DTYPES:
            raise adapter_failure(f"{name!r} is stored as {entry.dtype}")
        target, part = _target(name)
        parts.setdefault(target, {})[part] = name
    for target, found in parts.items():
        factors = set(found) - {"replacement"}
        missing = ({"factor_a", "factor_b", "magnitude"} if is_dora else {"factor_a", "factor_b"}) - factors
        if factors and missing:
            raise adapter_failure(
                f"for {target!r} it holds {', '.join(sorted(found))} without {', '.join(sorted(missing))}"
            )
    return {target: Change(**found) for target, found in parts.items()}


_SUFFIXES = {
    ".lora_A.weight": "factor_a",
    ".lora_B.weight": "factor_b",
    ".lora_magnitude_vector": "magnitude",
    ".lora_magnitude_vector.weight": "magnitude",
}


def _target(name: str) -> tuple[str, str]:
    """The base model's tensor that an adapter's tensor belongs to, and its part in the change."""
    if not name.startswith(_PREFIX):
        raise adapter_failure(f"{name!r} is no name that PEFT gives")
    path = name.removeprefix(_PREFIX)
    for suffix, part in _SUFFIXES.items():
        if path.endswith(suffix):
            return f"{path.removesuffix(suffix)}.weight", part
    if ".lora_" in path:
        raise adapter_failure(f"{name!r} belongs to a layer that is not linear")
    return path.replace(".base_layer.", "."), "replacement"
