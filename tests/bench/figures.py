"""Numbers of a benchmark, and how a table shows them beside their goals. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

HEAD = ("| | measured | spread | n | goal | |", "|---|---|---|---|---|---|")


@dataclass(frozen=True)
class Figure:
    """One line of a table."""

    what: str
    measured: str
    spread: str = ""
    count: int | None = None
    goal: str = ""
    is_met: bool | None = None
    """None where there is no goal."""
    remark: str = ""
    """Instead of whether the goal is met, for example a ratio."""


def row(figure: Figure) -> str:
    """A line of Markdown."""
    verdict = figure.remark if figure.is_met is None else "met" if figure.is_met else "**not met**"
    count = "" if figure.count is None else f"{figure.count:,}"
    return f"| {figure.what} | {figure.measured} | {figure.spread} | {count} | {figure.goal} | {verdict} |"


def add(figures: list[Figure], found: list[Figure]) -> None:
    """More lines, shown at once."""
    figures += found
    for figure in found:
        print(row(figure), flush=True)


def table(figures: Sequence[Figure]) -> str:
    """All lines, with the head."""
    return "\n".join([*HEAD, *map(row, figures)])


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least this share of all do not exceed. Raises ValueError if there are none."""
    if not values:
        raise ValueError("nothing was measured")
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)]


def schedule(per_second: float, seconds: float) -> list[float]:
    """When each of a steady stream of requests is due, in seconds from the start."""
    return [number / per_second for number in range(round(per_second * seconds))]


def milliseconds(seconds: float) -> str:
    """For a table: three digits at least where they mean something."""
    value = seconds * 1000
    return f"{value:.1f} ms" if value < 100 else f"{value:,.0f} ms"


def megabytes(count: int) -> str:
    """In units of a million bytes."""
    return f"{count / 1e6:.0f} MB"
