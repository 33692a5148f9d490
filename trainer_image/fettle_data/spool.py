"""Examples in a temporary file instead of memory: a dataset of any length, read by number.

What stays in memory is 8 bytes for each example. The file has no name and is gone with the last reference to it. It
holds canonical JSON, so that digests and keys need no example to be built.
"""

import json
import os
import tempfile
import weakref
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, overload

from fettle_data.formats.format import Example

_BUFFER_BYTES = 1024 * 1024
_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
_DECODER = json.JSONDecoder()


def canonical_json(example: Example) -> str:
    """The same text for the same example: keys sorted, no spaces, not escaped."""
    return _ENCODER.encode(example)


def canonical_texts(examples: Iterable[Example]) -> Iterator[str]:
    """The canonical JSON of each example."""
    if isinstance(examples, LazyExamples):
        return map(examples.text, range(len(examples)))
    return map(canonical_json, examples)


class LazyExamples(Sequence[Example]):
    """A sequence that makes each example when it is asked for; equal to every sequence of equal examples."""

    def get(self, index: int) -> Example:
        """The example at an index from 0 to the length."""
        raise NotImplementedError

    def text(self, index: int) -> str:
        """The canonical JSON of that example."""
        return canonical_json(self.get(index))

    @overload
    def __getitem__(self, index: int) -> Example: ...

    @overload
    def __getitem__(self, index: slice) -> list[Example]: ...

    def __getitem__(self, index: int | slice) -> Example | list[Example]:
        if isinstance(index, slice):
            return [self.get(position) for position in range(*index.indices(len(self)))]
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"there are {len(self)} examples, and no number {index}")
        return self.get(position)

    def __iter__(self) -> Iterator[Example]:
        return map(self.get, range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment] # compared by content, as a list


class Spool(LazyExamples):
    """Examples in the order in which they were appended. Reading from several processes after a fork is safe."""

    def __init__(self, directory: Path | None = None) -> None:
        """`directory` holds the file; the system's directory for temporary files if there is none given."""
        with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
            self._descriptor = os.dup(file.fileno())
        weakref.finalize(self, os.close, self._descriptor)
        self._ends = array("Q")
        self._buffer = bytearray()
        self._written = 0

    def append(self, example: Example) -> int:
        """Keep an example and return its index."""
        self._buffer += canonical_json(example).encode()
        self._ends.append(self._written + len(self._buffer))
        if len(self._buffer) >= _BUFFER_BYTES:
            self._flush()
        return len(self._ends) - 1

    def get(self, index: int) -> Example:
        example: Example = _DECODER.decode(self.text(index))
        return example

    def text(self, index: int) -> str:
        if self._buffer:
            self._flush()
        start = self._ends[index - 1] if index else 0
        return os.pread(self._descriptor, self._ends[index] - start, start).decode()

    def __len__(self) -> int:
        return len(self._ends)

    def __getstate__(self) -> NoReturn:
        raise TypeError("a spool cannot be pickled: its file is open in this process and its forks only")

    def _flush(self) -> None:
        view = memoryview(self._buffer)
        done = 0
        while done < len(view):
            done += os.pwrite(self._descriptor, view[done:], self._written + done)
        self._written += done
        self._buffer = bytearray()


class Selection(LazyExamples):
    """Some examples of a sequence, in an order of their own."""

    def __init__(self, examples: Sequence[Example], indexes: Sequence[int]) -> None:
        self._examples = examples
        self._indexes = indexes

    def get(self, index: int) -> Example:
        return self._examples[self._indexes[index]]

    def text(self, index: int) -> str:
        if isinstance(self._examples, LazyExamples):
            return self._examples.text(self._indexes[index])
        return super().text(index)

    def __len__(self) -> int:
        return len(self._indexes)
