"""Sorting of many short keys in little memory: 16 bytes for each key, 8 for its place in the order. Pure.

Nothing here uses `random`: keys are BLAKE2 of texts, so that no version of Python changes an order.
"""

from array import array
from collections.abc import Iterator
from hashlib import blake2b
from itertools import accumulate

KEY_BYTES = 16
_BUCKETS = 4096
"""One for each value of a key's first 12 bits."""


def key_of(text: str) -> bytes:
    """The key of a text: evenly distributed, the same everywhere."""
    return blake2b(text.encode(), digest_size=KEY_BYTES).digest()


class Keys:
    """Keys, numbered from 0 as they were added."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, text: str) -> None:
        """Add the key of a text."""
        self._bytes += key_of(text)

    def __len__(self) -> int:
        return len(self._bytes) // KEY_BYTES

    def __getitem__(self, index: int) -> bytes:
        return bytes(self._bytes[index * KEY_BYTES : (index + 1) * KEY_BYTES])

    def order(self) -> "array[int]":
        """Numbers of the keys, smallest key first; equal keys in the order in which they were added."""
        ends = array("Q", accumulate(self._bucket_sizes()))
        order = array("Q", bytes(8 * len(self)))
        places = array("Q", [0, *ends[:-1]])
        for index in range(len(self)):
            bucket = self._bucket(index)
            order[places[bucket]] = index
            places[bucket] += 1
        start = 0
        for end in ends:
            order[start:end] = array("Q", sorted(order[start:end], key=self.__getitem__))
            start = end
        return order

    def duplicate_count(self) -> int:
        """How many keys occurred before."""
        ordered = self._ordered()
        previous = next(ordered, None)
        count = 0
        for key in ordered:
            count += key == previous
            previous = key
        return count

    def _ordered(self) -> Iterator[bytes]:
        return map(self.__getitem__, self.order())

    def _bucket(self, index: int) -> int:
        start = index * KEY_BYTES
        return self._bytes[start] << 4 | self._bytes[start + 1] >> 4

    def _bucket_sizes(self) -> list[int]:
        sizes = [0] * _BUCKETS
        for index in range(len(self)):
            sizes[self._bucket(index)] += 1
        return sizes
