"""Which examples are used, in which order, and which of them are held out. Pure, and the same on every machine.

Nothing here uses `random`: orders come from BLAKE2 of the seed, so that no version of Python changes them.
"""

import heapq
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b, sha256
from itertools import islice

from fettle_data.formats.format import Example


def choose(examples: Iterable[Example], seed: int, shuffle: bool, limit: int | None) -> list[Example]:
    """At most `limit` examples: the first ones, or with `shuffle` a random choice in random order.

    The order depends on the seed and the number of an example only. All of `examples` is read in either case.
    """
    numbered = enumerate(examples)
    if not shuffle:
        first = [example for _, example in islice(numbered, limit)]
        for _ in numbered:
            pass
        return first

    def rank(item: tuple[int, Example]) -> bytes:
        return _digest(f"{seed}:shuffle:{item[0]}")

    ranked = sorted(numbered, key=rank) if limit is None else heapq.nsmallest(limit, numbered, key=rank)
    return [example for _, example in ranked]


def hold_out(examples: Sequence[Example], fraction: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Split into training and evaluation examples; each keeps the order of `examples`.

    The nearest whole number of examples is held out, but one at least and never all. Which ones depends on the
    seed and on each example's own content, so rows that are added or moved change little, and equal examples stay
    on one side unless that is impossible. A single example is not split.
    """
    if fraction == 0 or len(examples) < 2:
        return list(examples), []
    count = min(max(round(fraction * len(examples)), 1), len(examples) - 1)
    keys = [_digest(f"{seed}:evaluation:{canonical_json(example)}") for example in examples]
    ranked = sorted(range(len(examples)), key=lambda index: (keys[index], index))
    held_out = set(ranked[: _whole_groups([keys[index] for index in ranked], count)])
    return (
        [example for index, example in enumerate(examples) if index not in held_out],
        [example for index, example in enumerate(examples) if index in held_out],
    )


@dataclass(frozen=True)
class Measure:
    """What the canonical JSON of the examples tells."""

    digest: str
    """`sha256:<hex>` over the line `train`, a line of JSON for each example, the line `evaluation`, and the same."""
    duplicate_count: int
    """Examples that occurred before, in either part."""
    train_character_count: int
    longest_train_character_count: int


def measure(train: Iterable[Example], evaluation: Iterable[Example]) -> Measure:
    """Digest and counts, in one pass."""
    sha = sha256()
    seen: set[bytes] = set()
    count = characters = longest = 0
    for name, examples in (("train", train), ("evaluation", evaluation)):
        sha.update(f"{name}\n".encode())
        for example in examples:
            text = canonical_json(example)
            sha.update(f"{text}\n".encode())
            seen.add(_digest(text))
            count += 1
            if name == "train":
                characters += len(text)
                longest = max(longest, len(text))
    return Measure(f"sha256:{sha.hexdigest()}", count - len(seen), characters, longest)


def canonical_json(example: Example) -> str:
    """The same text for the same example: keys sorted, no spaces, not escaped."""
    return _ENCODER.encode(example)


def _whole_groups(keys: Sequence[bytes], count: int) -> int:
    """`count`, or less if equal keys would be parted and something is left; keys are sorted."""
    start = count
    while start > 0 and keys[start - 1] == keys[count]:
        start -= 1
    return start or count


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False)
