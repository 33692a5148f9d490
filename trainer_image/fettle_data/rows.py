"""Rows as they are read, before they have a meaning. No file is opened here."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from fettle_data.findings import Finding

Values = dict[str, object]
"""Column → value."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: its values, and where it stands."""

    number: int
    """From 1: the line in files of lines (the first, if a CSV row has several), else the position."""
    place: str
    """For example `data.jsonl line 3`."""
    values: Values


@dataclass(frozen=True)
class Rows:
    """An opened dataset. Each iteration reads it anew as a stream; a row that cannot be read comes as a Finding."""

    name: str
    """For messages: a path inside the workspace, a hub id, or `inline examples`."""
    read: Callable[[], Iterator[Row | Finding]]

    def __iter__(self) -> Iterator[Row | Finding]:
        return self.read()
