"""The first rows of a dataset as they are, for people to look at. It checks no format and never reads further."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fettle_data.findings import Finding
from fettle_data.formats import detect
from fettle_data.rows import Values
from fettle_data.source import open_rows
from fettle_schema.dataset import DatasetFormat, DatasetSource


@dataclass(frozen=True)
class Preview:
    """The first rows."""

    columns: list[str]
    """In the order in which they first occur."""
    rows: list[Values]
    formats: list[DatasetFormat]
    """What the first row can be, best first; empty if nothing fits."""
    findings: list[Finding]
    """Rows among the first that could not be read."""


def preview(source: DatasetSource, workspace: Path, limit: int) -> Preview:
    """The first `limit` rows. Raises DatasetError if the dataset cannot be opened."""
    first = list(islice(open_rows(source, workspace), limit))
    rows = [row.values for row in first if not isinstance(row, Finding)]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    present = [column for column, value in rows[0].items() if value is not None] if rows else []
    return Preview(
        columns=columns,
        rows=rows,
        formats=[one.name for one in detect(present)],
        findings=[row for row in first if isinstance(row, Finding)],
    )
