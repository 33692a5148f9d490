"""Adapters and base models of zeros, as files only: nothing here needs torch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fettle_schema.layout import ADAPTERS
from fettle_trainer.publish import PublishedArtifact, place_directory
from fettle_trainer.tensor_files import TensorEntry, write_header

LAYERS = {"model.layers.0.self_attn.q_proj": (16, 16), "model.layers.0.mlp.down_proj": (32, 16)}
"""Layer → sizes of its input and output."""


def write_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """A safetensors file of zeros."""
    entries = []
    for name, shape in shapes.items():
        count = 1
        for size in shape:
            count *= size
        entries.append(TensorEntry(name, "F32", shape, 4 * count))
    with path.open("wb") as file:
        write_header(file, entries, {})
        for entry in entries:
            file.write(bytes(entry.size_bytes))


def write_lora(
    directory: Path,
    *,
    rank: int = 4,
    base: str = "models/tiny",
    layers: Mapping[str, tuple[int, int]] = LAYERS,
    **config: Any,
) -> Path:
    """A LoRA adapter."""
    directory.mkdir(parents=True, exist_ok=True)
    shapes: dict[str, tuple[int, ...]] = {}
    for layer, (size_in, size_out) in layers.items():
        shapes[f"base_model.model.{layer}.lora_A.weight"] = (rank, size_in)
        shapes[f"base_model.model.{layer}.lora_B.weight"] = (size_out, rank)
    write_tensors(directory / "adapter_model.safetensors", shapes)
    content = {"peft_type": "LORA", "r": rank, "lora_alpha": 8, "base_model_name_or_path": base, **config}
    (directory / "adapter_config.json").write_text(json.dumps(content))
    return directory


def write_base(directory: Path, layers: Mapping[str, tuple[int, int]] = LAYERS) -> Path:
    """A base model's configuration and the shapes of its layers."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text("{}")
    write_tensors(
        directory / "model.safetensors", {f"{layer}.weight": (out, size) for layer, (size, out) in layers.items()}
    )
    return directory


def place_lora(workspace: Path, name: str = "demo", **settings: Any) -> PublishedArtifact:
    """A LoRA adapter at the place of a published one."""

    def write(directory: Path) -> None:
        write_lora(directory, **settings)

    return place_directory(write, workspace, ADAPTERS, name, "uid")
