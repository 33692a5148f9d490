"""Linear layers of a base model that add each row's own LoRA adapter to what the base computes.

PEFT's `adapter_names` does the same, but hooks every layer anew for each token; here a layer looks at one shared plan.
The base's weights are never changed.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import linear

from fettle_schema.layout import ADAPTER_WEIGHTS_FILE
from fettle_trainer.serve.adapter_files import AdapterFiles
from fettle_trainer.serve.errors import InvalidInputError

Weights = dict[str, tuple[torch.Tensor, torch.Tensor]]
"""By layer: A, and B times the scale."""


Rows = slice | torch.Tensor
"""Rows of a batch: beside each other, or their numbers."""


@dataclass
class RowPlan:
    """Which rows of the batch that is computed now belong to which adapter."""

    count: int = 0
    groups: list[tuple[str, Rows]] = field(default_factory=list)
    """Key of an adapter, and its rows."""

    def set(self, keys: list[str | None], device: torch.device) -> None:
        """One key for each row, None for the base model alone."""
        self.count = len(keys)
        self.groups = []
        for key in sorted({key for key in keys if key is not None}):
            rows = [row for row, own in enumerate(keys) if own == key]
            are_neighbours = rows[-1] - rows[0] == len(rows) - 1
            self.groups.append(
                (key, slice(rows[0], rows[-1] + 1) if are_neighbours else torch.tensor(rows, device=device))
            )


class LoraLinear(torch.nn.Module):
    """A linear layer of the base with the matrices of the adapters that change it."""

    def __init__(self, base: torch.nn.Module, plan: RowPlan) -> None:
        super().__init__()
        self.base = base
        self.plan = plan
        self.pairs: Weights = {}

    @property
    def weight(self) -> torch.Tensor:
        """The base's: some models look at its dtype."""
        return self.base.weight  # type: ignore[return-value] # a linear layer has one

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """The base's outputs, with each row's adapter added."""
        outputs: torch.Tensor = self.base(inputs)
        for key, rows in self.plan.groups:
            pair = self.pairs.get(key)
            if pair is None:
                continue
            # A layer may see rows and positions flattened; rows come first.
            own = inputs.reshape(self.plan.count, -1, inputs.shape[-1])[rows]
            added = linear(linear(own, pair[0]), pair[1])
            target = outputs.view(self.plan.count, -1, outputs.shape[-1])
            if isinstance(rows, slice):
                target[rows] += added
            else:  # index_add_ goes row by row on the CPU
                target.index_copy_(0, rows, target.index_select(0, rows).add_(added))
        return outputs


class LoraModel:
    """A causal model whose rows may each use another adapter."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.plan = RowPlan()
        self._layers = {name: module for name, module in model.named_modules() if _sizes(module) is not None}

    def check(self, files: AdapterFiles) -> None:
        """InvalidInputError names the first layer that the base does not have, or has in another shape."""
        for name, pair in files.pairs.items():
            layer = self._layers.get(name)
            if layer is None:
                raise InvalidInputError(
                    f"The adapter changes {name!r}, which is no linear layer of this base model; "
                    "it was made for another one.",
                    "lora_path",
                )
            sizes = _sizes(layer.base if isinstance(layer, LoraLinear) else layer)
            if sizes != (pair.input_size, pair.output_size):
                raise InvalidInputError(
                    f"The adapter's {name!r} is {pair.input_size} → {pair.output_size}, the base model's is "
                    f"{sizes[0] if sizes else '?'} → {sizes[1] if sizes else '?'}; it was made for another base model.",
                    "lora_path",
                )

    def read(self, files: AdapterFiles) -> Weights:
        """The weights, in the base's dtype and on its device; touches no layer, so any thread may call it."""
        from safetensors import SafetensorError, safe_open

        weights: Weights = {}
        dtype, device = self.model.dtype, self.model.device
        try:
            with safe_open(files.directory / ADAPTER_WEIGHTS_FILE, framework="pt") as file:
                for name, pair in files.pairs.items():
                    down, up = (file.get_tensor(tensor) for tensor in files.tensor_names(name))
                    scaled = up.float() * pair.scale
                    weights[name] = down.to(device, dtype), scaled.to(device, dtype)
        except (OSError, SafetensorError) as error:
            raise InvalidInputError(
                f"{ADAPTER_WEIGHTS_FILE} cannot be read: {str(error)[:200]}.", "lora_path"
            ) from error
        if not all(torch.isfinite(matrix).all() for pair_ in weights.values() for matrix in pair_):
            raise InvalidInputError(f"{ADAPTER_WEIGHTS_FILE} holds numbers that are not finite.", "lora_path")
        return weights

    def attach(self, key: str, weights: Weights) -> None:
        """Put an adapter's weights into the layers; only between two passes."""
        for name, pair in weights.items():
            layer = self._layers[name]
            if not isinstance(layer, LoraLinear):
                layer = LoraLinear(layer, self.plan)
                parent, _, child = name.rpartition(".")
                setattr(self.model.get_submodule(parent), child, layer)
                self._layers[name] = layer
            layer.pairs[key] = pair

    def detach(self, key: str) -> None:
        """Take an adapter's weights out of the layers; only between two passes."""
        for layer in self._layers.values():
            if isinstance(layer, LoraLinear):
                layer.pairs.pop(key, None)


def _sizes(module: Any) -> tuple[int, int] | None:
    """Inputs and outputs of a linear layer; None for anything else."""
    if isinstance(module, torch.nn.Linear):
        return module.in_features, module.out_features
    if type(module).__name__ == "Conv1D":  # GPT-2's linear layer, its weight transposed
        return module.weight.shape[0], module.weight.shape[1]
    return None
