"""How sure a mean is: the percentile bootstrap, seeded. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from fettle_trainer.benchmark.draws import uniform

RESAMPLES = 1000
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """A mean of `n` values, and where it lies with a confidence of CONFIDENCE."""

    value: float
    low: float
    high: float
    n: int


def bootstrap(values: Sequence[float], seed: int) -> Interval | None:
    """The mean and its percentile interval (Efron and Tibshirani 1993, chapter 13); None without values.

    RESAMPLES times, n values are drawn with replacement; the interval lies between the 2.5 % and 97.5 % quantiles of
    their means. The draws depend on the seed, the number of the draw and n only, so two lists of one length are drawn
    alike.
    """
    if not values:
        return None
    n = len(values)
    means = sorted(math.fsum(values[index] for index in resample) / n for resample in _resamples(seed, n))
    tail = (1 - CONFIDENCE) / 2
    return Interval(math.fsum(values) / n, quantile(means, tail), quantile(means, 1 - tail), n)


def quantile(ordered: Sequence[float], share: float) -> float:
    """The value at `share` in [0, 1] of an ordered list, between two of them by linear interpolation."""
    position = share * (len(ordered) - 1)
    below = math.floor(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


@lru_cache(maxsize=4)
def _resamples(seed: int, n: int) -> list[list[int]]:
    return [
        [int(uniform(seed, "bootstrap", n, resample, draw) * n) for draw in range(n)] for resample in range(RESAMPLES)
    ]
