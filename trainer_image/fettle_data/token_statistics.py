"""How long examples are in tokens. Pure: whoever has a tokenizer gives the lengths."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class TokenStatistics:
    """Lengths before anything is cut. Percentiles are lengths that occur (nearest rank); all are 0 without examples."""

    example_count: int
    token_count: int
    p50: int
    p95: int
    max: int
    truncated_share: float
    """Share of the examples that are longer than the maximum, from 0 to 1."""

    def to_json(self) -> dict[str, int | float]:
        return asdict(self)


def token_statistics(lengths: Iterable[int], max_length: int) -> TokenStatistics:
    """Statistics in one pass; memory grows with the number of different lengths only."""
    counts = Counter(lengths)
    total = counts.total()
    return TokenStatistics(
        example_count=total,
        token_count=sum(length * count for length, count in counts.items()),
        p50=_percentile(counts, total, 50),
        p95=_percentile(counts, total, 95),
        max=max(counts, default=0),
        truncated_share=sum(count for length, count in counts.items() if length > max_length) / max(total, 1),
    )


def _percentile(counts: Counter[int], total: int, percent: int) -> int:
    """The smallest length that at least `percent` % of the examples do not exceed."""
    rest = -(-total * percent // 100)
    for length in sorted(counts):
        rest -= counts[length]
        if rest <= 0:
            return length
    return 0
