"""Keys and values of all rows that are being answered, in one block for each layer.

All rows end at the same column, so that the next token of each goes to the same place; a shorter row begins later. A
row comes and goes without the others being computed again. transformers reads and writes it as its own cache.
"""

from typing import Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin, DynamicCache

_SPARE_COLUMNS = 256
"""How far a block grows at a time."""


class BatchCache(Cache):  # type: ignore[misc] # transformers has no types
    """Rows 0…`rows`-1, each ending at the same column."""

    def __init__(self) -> None:
        self.window = _Window()
        super().__init__(layers=[])

    @property
    def rows(self) -> int:
        """Rows in use."""
        return self.window.rows

    @property
    def width(self) -> int:
        """Columns of the longest row."""
        return self.window.end - self.window.start

    def append(self, prefilled: DynamicCache, width: int) -> None:
        """Add the rows of a prompt pass that was padded on the left to `width` columns."""
        keys = [layer.keys for layer in prefilled.layers]
        if not self.layers:
            self.layers.extend(_BatchLayer(self.window, layer.keys, layer.values) for layer in prefilled.layers)
        first, count = self.window.rows, len(keys[0])
        self._reserve(first + count, max(self.width, width))
        end = self.window.end
        for own, new in zip(self.layers, prefilled.layers, strict=True):
            for block, rows in ((own.keys, new.keys), (own.values, new.values)):
                block[first : first + count, :, end - width : end] = rows
        self.window.rows = first + count
        self.window.start = min(self.window.start, end - width)

    def make_step(self) -> None:
        """Make sure that one more column fits."""
        if self.window.end + 1 > self.window.columns:
            self._reserve(self.window.rows, self.width)

    def advance(self) -> None:
        """One column was written for every row."""
        self.window.end += 1

    def remove(self, row: int) -> None:
        """Forget a row; the last one takes its place."""
        last = self.window.rows - 1
        if row != last:
            for layer in self.layers:
                for block in (layer.keys, layer.values):
                    block[row, :, self.window.start : self.window.end] = block[
                        last, :, self.window.start : self.window.end
                    ]
        self.window.rows = last

    def narrow(self, longest: int) -> None:
        """No row is longer than `longest` now: earlier columns are free."""
        self.window.start = self.window.end - longest

    def clear(self) -> None:
        """Forget all rows and give their memory back."""
        self.layers.clear()
        self.window = _Window()

    def _reserve(self, rows: int, width: int) -> None:
        window = self.window
        if rows <= window.row_capacity and width <= window.end < window.columns:
            return
        row_capacity = 1 << (rows - 1).bit_length()
        columns = (width // _SPARE_COLUMNS + 1) * _SPARE_COLUMNS
        shift = width - window.end
        for layer in self.layers:
            layer.move(row_capacity, columns, shift)
        window.row_capacity, window.columns = row_capacity, columns
        window.start, window.end = window.start + shift, width


class _Window:
    """What part of the blocks is in use: the same for all layers."""

    def __init__(self) -> None:
        self.rows = self.start = self.end = self.columns = self.row_capacity = 0


class _BatchLayer(CacheLayerMixin):  # type: ignore[misc]
    """One layer's block: [rows, heads, columns, size]."""

    def __init__(self, window: _Window, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()
        self.window = window
        self.keys = keys.new_zeros(0, keys.shape[1], 0, keys.shape[3])
        self.values = values.new_zeros(0, values.shape[1], 0, values.shape[3])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the columns after the last one; all columns in use, those included."""
        window = self.window
        rows, end = slice(0, window.rows), window.end + key_states.shape[2]
        self.keys[rows, :, window.end : end] = key_states
        self.values[rows, :, window.end : end] = value_states
        return self.keys[rows, :, window.start : end], self.values[rows, :, window.start : end]

    def move(self, row_capacity: int, columns: int, shift: int) -> None:
        """A block of another size, every column `shift` further right."""
        self.keys = self._moved(self.keys, row_capacity, columns, shift)
        self.values = self._moved(self.values, row_capacity, columns, shift)

    def _moved(self, block: torch.Tensor, row_capacity: int, columns: int, shift: int) -> torch.Tensor:
        window = self.window
        # Zeros: what a mask hides is multiplied by zero, and zero times the NaN of unwritten memory is NaN.
        moved = block.new_zeros(row_capacity, block.shape[1], columns, block.shape[3])
        used = block[: window.rows, :, window.start : window.end]
        moved[: window.rows, :, window.start + shift : window.end + shift] = used
        return moved

    def get_seq_length(self) -> int:
        """Columns in use."""
        return self.window.end - self.window.start

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Columns that a query sees, and the first of them."""
        return self.get_seq_length() + query_length, 0

    def get_max_length(self) -> int:
        """There is none."""
        return -1

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing to do: the shapes are known from the first prompt."""
