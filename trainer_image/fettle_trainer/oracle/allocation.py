"""Counts the bytes that are alive, without allocating any: every storage once, as an allocator would round it."""

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

_BLOCK_BYTES = 512
"""PyTorch's CUDA allocator rounds each allocation up to this."""


class AllocationTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """While it is entered, `current` and `peak` follow all storages that operations return."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.current = 0
        self.peak = 0
        self._seen = WeakIdKeyDictionary()

    def track(self, tensor: torch.Tensor) -> None:
        """Count a tensor's storage, unless it is counted."""
        storage = tensor.untyped_storage()
        if storage in self._seen:
            return
        size = -(-storage.nbytes() // _BLOCK_BYTES) * _BLOCK_BYTES
        self._seen[storage] = size
        self.current += size
        self.peak = max(self.peak, self.current)
        weakref.finalize(storage, self._release, size)

    def restart_peak(self) -> int:
        """The peak until now; the next one begins at what is alive."""
        peak, self.peak = self.peak, self.current
        return peak

    def _release(self, size: int) -> None:
        self.current -= size

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = function(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, torch.Tensor):
                self.track(leaf)
        return result
