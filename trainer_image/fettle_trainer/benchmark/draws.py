"""Randomness that depends on its names only: no state, no order, no version of a library. Pure.

A draw for one answer is the same whatever else is in the batch, and the same for the base model and the adapter.
"""

import math
from collections.abc import Sequence
from hashlib import blake2b

_BYTES = 8


def uniform(*names: object) -> float:
    """A number in [0, 1) that is decided by `names`: BLAKE2b of them, 53 bits of it."""
    text = "\0".join(map(str, names))
    number = int.from_bytes(blake2b(text.encode(), digest_size=_BYTES).digest(), "big")
    return (number >> 11) / 2.0**53


def draw_token(scores: Sequence[float], tokens: Sequence[int], temperature: float, number: float) -> int:
    """The token at `number` in [0, 1) of the cumulative softmax of `scores` (logits), the most likely token first."""
    ranked = sorted(zip(scores, tokens, strict=True), key=lambda pair: (-pair[0], pair[1]))
    highest = ranked[0][0]
    weights = [math.exp((score - highest) / temperature) for score, _ in ranked]
    left = number * math.fsum(weights)
    for weight, (_, token) in zip(weights, ranked, strict=True):
        left -= weight
        if left < 0:
            return token
    return ranked[-1][1]
