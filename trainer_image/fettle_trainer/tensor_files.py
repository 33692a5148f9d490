"""safetensors files read and written one tensor at a time, so that a model of any size passes through little memory.

The format: eight bytes of length, a JSON header of that length, then the tensors' bytes. Knows nothing of models;
imports torch only to give a tensor out.
"""

import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    import torch

FLOATING_DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""Names in a safetensors header, and what torch calls them."""
_BLOCK_BYTES = 1 << 22
_MAX_HEADER_BYTES = 100_000_000  # the limit of the safetensors library


class DamagedTensorFileError(Exception):
    """A file that is not whole; the message says what is wrong, without the file's name."""


@dataclass(frozen=True)
class TensorEntry:
    """One line of a header."""

    name: str
    dtype: str
    """As the header spells it: `BF16`, `F32`, …"""
    shape: tuple[int, ...]
    size_bytes: int


class TensorFile:
    """An open safetensors file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb")
        try:
            header, self._data_begin = _read_header(self._file)
            self.metadata: dict[str, str] = header.pop("__metadata__", None) or {}
            self._begin: dict[str, int] = {}
            self.entries: dict[str, TensorEntry] = {}
            """In the order of their bytes."""
            for name, value in sorted(header.items(), key=lambda item: item[1]["data_offsets"][0]):
                begin, end = value["data_offsets"]
                self.entries[name] = TensorEntry(name, value["dtype"], tuple(value["shape"]), end - begin)
                self._begin[name] = begin
            self._require_length(path.stat().st_size)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            self._file.close()
            raise DamagedTensorFileError("its header cannot be read") from error
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> "TensorFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, t: TracebackType | None) -> None:
        self._file.close()

    def read(self, name: str) -> "torch.Tensor":
        """A floating-point tensor, in memory of its own."""
        import torch

        entry = self.entries[name]
        buffer = bytearray(entry.size_bytes)
        self._file.seek(self._data_begin + self._begin[name])
        if self._file.readinto(buffer) != entry.size_bytes:
            raise DamagedTensorFileError(f"it ends within {name!r}")
        dtype = getattr(torch, FLOATING_DTYPES[entry.dtype])
        if not buffer:
            return torch.empty(entry.shape, dtype=dtype)
        return torch.frombuffer(buffer, dtype=dtype).reshape(entry.shape)

    def copy(self, name: str, target: BinaryIO) -> None:
        """Append the bytes of a tensor to `target`, a block at a time."""
        left = self.entries[name].size_bytes
        self._file.seek(self._data_begin + self._begin[name])
        while left:
            block = self._file.read(min(left, _BLOCK_BYTES))
            if not block:
                raise DamagedTensorFileError(f"it ends within {name!r}")
            target.write(block)
            left -= len(block)

    def _require_length(self, size: int) -> None:
        end = max((self._begin[name] + entry.size_bytes for name, entry in self.entries.items()), default=0)
        if size < self._data_begin + end:
            raise DamagedTensorFileError(f"it has {size} bytes instead of {self._data_begin + end}")


def write_header(target: BinaryIO, entries: Sequence[TensorEntry], metadata: dict[str, str]) -> None:
    """Begin a file; the bytes of `entries` must follow in this order."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    begin = 0
    for entry in entries:
        end = begin + entry.size_bytes
        header[entry.name] = {"dtype": entry.dtype, "shape": list(entry.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors begin at a multiple of eight bytes
    target.write(struct.pack("<Q", len(text)) + text)


def write_tensor(target: BinaryIO, tensor: "torch.Tensor") -> None:
    """Append a tensor's bytes."""
    import torch

    target.write(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _read_header(file: BinaryIO) -> tuple[dict[str, Any], int]:
    prefix = file.read(8)
    if len(prefix) < 8:
        raise DamagedTensorFileError("it is empty" if not prefix else "it ends within its header")
    (length,) = struct.unpack("<Q", prefix)
    if length > _MAX_HEADER_BYTES:
        raise DamagedTensorFileError("its header cannot be read")
    text = file.read(length)
    if len(text) < length:
        raise DamagedTensorFileError("it ends within its header")
    header = json.loads(text)
    if not isinstance(header, dict):
        raise DamagedTensorFileError("its header cannot be read")
    return header, 8 + length
