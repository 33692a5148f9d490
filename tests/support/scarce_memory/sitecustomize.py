"""Put on PYTHONPATH, it lets a training process run out of memory when a micro-batch has too many rows.

`SCARCE_MEMORY_ROWS` is how many fit, `SCARCE_MEMORY_FROM_STEP` from when on (1), `SCARCE_MEMORY_RANK` in which process
(all). The error is a real one: torch asks the machine for more than it has.
"""

import os
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

TARGET = "fettle_trainer.callbacks"


class ScarceMemory(MetaPathFinder):
    """Changes one module as it is imported."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != TARGET:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def execute_and_limit(module: ModuleType) -> None:
            execute(module)
            limit_rows(module)

        spec.loader.exec_module = execute_and_limit  # type: ignore[method-assign]
        return spec


def limit_rows(callbacks: Any) -> None:
    """Let `training_step` fail as if its activations did not fit."""
    import torch

    rows, first = int(os.environ["SCARCE_MEMORY_ROWS"]), int(os.environ.get("SCARCE_MEMORY_FROM_STEP", "1"))
    step = callbacks.GuardedTraining.training_step

    def training_step(self: Any, model: Any, inputs: dict[str, Any], *args: Any) -> Any:
        size = next(iter(inputs.values())).shape[0]
        if size > rows and self.state.global_step + 1 >= first:
            torch.empty(2**60)
        return step(self, model, inputs, *args)

    callbacks.GuardedTraining.training_step = training_step


if "SCARCE_MEMORY_ROWS" in os.environ and os.environ.get("SCARCE_MEMORY_RANK", "0") == os.environ.get("RANK", "0"):
    sys.meta_path.insert(0, ScarceMemory())
