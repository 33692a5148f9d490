"""The port to an estimate of memory and time, and what can be told without one. Makes nothing up.

`KnownFacts` stands in until `fettle_schema.estimate` exists: it counts parameters, and the memory of weights only.
"""

import asyncio
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fettle_api.errors import FileMissingError
from fettle_api.resolution import resolve_model
from fettle_api.workspace import Workspace
from fettle_schema.errors import InvalidManifestError

_MAX_HEADER_BYTES = 16 * 1024 * 1024
_MAX_FILES = 200
_SIZE_IN_NAME = re.compile(r"(?<![0-9A-Za-z.])(\d+(?:\.\d+)?)\s*([bm])(?![A-Za-z0-9])", re.IGNORECASE)
_BYTES_OF_WEIGHT = {"lora": 2.0, "qlora": 0.52, "none": 2.0}
"""bf16; nf4 with double quantization has 4.127 bits."""


@dataclass(frozen=True)
class Estimate:
    """What is known; None where nothing is."""

    parameter_count: int | None = None
    memory_bytes_per_node: int | None = None
    examples_per_second: float | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    """What the numbers leave out."""


class Estimator(Protocol):
    """Judges a job before it exists."""

    async def estimate(self, base_model: str, spec: Mapping[str, Any], example_count: int | None) -> Estimate:
        """`base_model` is what a request names; `spec` is the rest of a TrainingJob's."""
        ...


class KnownFacts:
    """Parameters from the model's files in the workspace, else from its name."""

    def __init__(self, workspace: Workspace, model_aliases: Mapping[str, str]) -> None:
        self._workspace, self._aliases = workspace, model_aliases

    async def estimate(self, base_model: str, spec: Mapping[str, Any], example_count: int | None) -> Estimate:
        """See Estimator."""
        count = await asyncio.to_thread(self._parameter_count, base_model)
        if count is None:
            return Estimate(notes=("the model is not in the workspace, and its name tells no size",))
        bytes_of_weight = _BYTES_OF_WEIGHT.get(spec.get("adapter", {}).get("type", "lora"), 2.0)
        return Estimate(
            parameter_count=count,
            memory_bytes_per_node=math.ceil(count * bytes_of_weight),
            notes=("memory counts the weights of the base model only", "speed is not known before training"),
        )

    def _parameter_count(self, name: str) -> int | None:
        try:
            model = resolve_model(name, self._aliases, self._workspace.exists)
        except InvalidManifestError:
            return None
        if "path" in model:
            counted = self._counted(model["path"])
            if counted:
                return counted
        return _stated_size(str(model.get("id") or model.get("path")))

    def _counted(self, path: str) -> int:
        try:
            files = [file.name for file in self._workspace.list_files(path) if file.name.endswith(".safetensors")]
            return sum(self._counted_in(f"{path}/{name}") for name in files[:_MAX_FILES])
        except FileMissingError:
            return 0

    def _counted_in(self, path: str) -> int:
        """Elements of all tensors, from the header: eight bytes of length, then JSON."""
        file = self._workspace.open_file(path)
        try:
            length = int.from_bytes(os.pread(file.descriptor, 8, 0), "little")
            if not 2 <= length <= min(_MAX_HEADER_BYTES, file.size_bytes):
                return 0
            header = json.loads(os.pread(file.descriptor, length, 8))
            shapes = [entry["shape"] for name, entry in header.items() if name != "__metadata__"]
            return sum(math.prod(int(size) for size in shape) for shape in shapes)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return 0
        finally:
            os.close(file.descriptor)


def _stated_size(name: str) -> int | None:
    found = _SIZE_IN_NAME.findall(name.rpartition("/")[2].replace("_", "-"))
    if not found:
        return None
    number, unit = found[-1]
    return round(float(number) * (1e9 if unit.lower() == "b" else 1e6))
