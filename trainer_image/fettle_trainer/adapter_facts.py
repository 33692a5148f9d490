"""What an adapter's files say about it: rank, layers, whether it can be served, and whether it fits its base model.

Reads the configuration and the headers of safetensors files: no weight, and no torch.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle_schema.artifact import Compatibility
from fettle_schema.layout import ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE
from fettle_schema.reasons import Reason
from fettle_trainer.serve.adapter_files import read_adapter
from fettle_trainer.serve.errors import RequestError
from fettle_trainer.tensor_files import FLOATING_DTYPES, DamagedTensorFileError, TensorFile

_FIRST, _SECOND = ".lora_A.weight", ".lora_B.weight"
_PREFIX = "base_model.model."
Shapes = dict[str, tuple[int, ...]]


class InvalidFilesError(Exception):
    """No PEFT adapter; the message says what is wrong."""


@dataclass(frozen=True)
class AdapterFacts:
    """One adapter, as its files describe it."""

    base_model: str
    """What the configuration names."""
    rank: int | None
    """The largest; None where there are no such matrices."""
    target_modules: list[str]
    layers: dict[str, tuple[int, int]]
    """Layer of the base → sizes of its input and output, as the matrices have them."""
    unservable: str | None
    """Why no engine can serve it beside others."""


def read_facts(directory: Path) -> AdapterFacts:
    """Raises InvalidFilesError."""
    config = _read_config(directory)
    try:
        with TensorFile(directory / ADAPTER_WEIGHTS_FILE) as file:
            shapes = {name: entry.shape for name, entry in file.entries.items()}
    except (OSError, DamagedTensorFileError) as error:
        raise InvalidFilesError(f"{ADAPTER_WEIGHTS_FILE} cannot be used: {error}") from error
    layers = _layers(shapes)
    ranks = [shape[0] for name, shape in shapes.items() if name.endswith(_FIRST) and shape]
    return AdapterFacts(
        base_model=str(config.get("base_model_name_or_path") or ""),
        rank=max(ranks, default=None),
        target_modules=sorted({layer.rpartition(".")[2] for layer in layers}),
        layers=layers,
        unservable=_unservable(directory),
    )


def compatibility(facts: AdapterFacts, base_name: str, base_directory: Path | None) -> Compatibility:
    """Whether it fits `base_name`, whose files lie in `base_directory` if they are there at all."""
    mismatch, is_compared = None, False
    if base_directory is not None:
        mismatch, is_compared = _compare(facts.layers, _shapes_of(base_directory))
    if mismatch is None and not is_compared and facts.base_model != base_name:
        mismatch = (
            f"the files name {facts.base_model!r} as their base model, spec.baseModel.id is {base_name!r}, and there "
            f"is no {base_name!r} in the workspace whose layers could be compared"
        )
    if mismatch is not None:
        return Compatibility(reason=Reason.BASE_MODEL_MISMATCH, message=mismatch[:1000])
    if facts.unservable is not None:
        return Compatibility(reason=Reason.NOT_SERVABLE, message=facts.unservable[:1000])
    if is_compared:
        return Compatibility(reason=Reason.FITS, message=f"all {len(facts.layers)} layers fit {base_name!r}")
    return Compatibility(reason=Reason.SAME_NAME, message=f"the files name {base_name!r}; its layers were not compared")


def _read_config(directory: Path) -> dict[str, Any]:
    for name in (ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE):
        if not (directory / name).is_file():
            raise InvalidFilesError(f"{name} is missing; save the adapter with PEFT's save_pretrained")
    try:
        config = json.loads((directory / ADAPTER_CONFIG_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidFilesError(f"{ADAPTER_CONFIG_FILE} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise InvalidFilesError(f"{ADAPTER_CONFIG_FILE} holds no JSON object")
    return config


def _unservable(directory: Path) -> str | None:
    try:
        read_adapter(directory)
    except RequestError as error:
        return error.message
    return None


def _layers(shapes: Shapes) -> dict[str, tuple[int, int]]:
    found: dict[str, tuple[int, int]] = {}
    for name, shape in shapes.items():
        layer = name.removesuffix(_FIRST)
        second = shapes.get(f"{layer}{_SECOND}")
        if layer != name and len(shape) == 2 and second is not None and len(second) == 2:
            found[layer.removeprefix(_PREFIX)] = (shape[1], second[0])
    return found


def _shapes_of(base: Path) -> Shapes:
    """Shapes of all tensors that are stored as they are; quantized ones tell nothing."""
    found: Shapes = {}
    for path in sorted(base.glob("*.safetensors")):
        try:
            with TensorFile(path) as file:
                found |= {name: entry.shape for name, entry in file.entries.items() if entry.dtype in FLOATING_DTYPES}
        except (OSError, DamagedTensorFileError):
            return {}
    return found


def _compare(layers: dict[str, tuple[int, int]], base: Shapes) -> tuple[str | None, bool]:
    """What contradicts, and whether anything could be compared: some libraries name stored tensors differently."""
    known = {layer: base[f"{layer}.weight"] for layer in layers if f"{layer}.weight" in base}
    if not known:
        return None, False
    for layer, sizes in layers.items():
        if layer not in known:
            return f"the base model has no layer {layer!r}, which the adapter changes", True
        if sorted(known[layer]) != sorted(sizes):  # some layers are stored transposed
            return f"layer {layer!r} of the base model has shape {known[layer]}, the adapter wants {sizes[::-1]}", True
    return None, True
