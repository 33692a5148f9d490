"""CSV, TSV and plain text → rows, as streams."""

import csv
from collections.abc import Iterator
from typing import BinaryIO

from fettle_data.findings import Finding, FindingCode, name_list
from fettle_data.lines import MAX_ROW_BYTES, read_lines
from fettle_data.rows import Row


def read_text_lines(stream: BinaryIO, name: str) -> Iterator[Row | Finding]:
    """One row with the column `text` for each line that is not blank, as Hugging Face's text loader reads files."""
    for line in read_lines(stream, name):
        if isinstance(line, Finding):
            yield line
        elif line.text.strip():
            yield Row(line.number, f"{name} line {line.number}", {"text": line.text.rstrip("\r\n")})


def read_csv(stream: BinaryIO, name: str) -> Iterator[Row | Finding]:
    """One row for each record; the first record names the columns."""
    return _Table(stream, name, ",").rows()


def read_tsv(stream: BinaryIO, name: str) -> Iterator[Row | Finding]:
    """The same, separated by tabs."""
    return _Table(stream, name, "\t").rows()


class _Table:
    """A CSV reader that knows its line and collects what the line reader found."""

    def __init__(self, stream: BinaryIO, name: str, delimiter: str) -> None:
        self._stream = stream
        self._name = name
        self._delimiter = delimiter
        self._line_number = 0
        self._found: list[Finding] = []

    def rows(self) -> Iterator[Row | Finding]:
        csv.field_size_limit(MAX_ROW_BYTES)  # process-wide, and 128 KiB unless raised
        records = csv.reader(self._lines(), delimiter=self._delimiter, strict=True)
        columns: list[str] | None = None
        start = 1
        try:
            for record in records:
                yield from self._take_found()
                if record and columns is None:
                    columns = record
                    if len(set(columns)) < len(columns) or not all(columns):
                        yield self._finding(start, f"a column name is empty or occurs twice: {name_list(columns)}")
                        return
                elif record and columns is not None:
                    yield self._row(columns, record, start)
                start = self._line_number + 1
        except csv.Error as error:
            yield self._finding(start, f"this is not valid CSV: {error}")
        yield from self._take_found()

    def _lines(self) -> Iterator[str]:
        for line in read_lines(self._stream, self._name):
            if isinstance(line, Finding):
                self._found.append(line)
            else:
                self._line_number = line.number
                yield line.text

    def _take_found(self) -> list[Finding]:
        found, self._found = self._found, []
        return found

    def _row(self, columns: list[str], record: list[str], start: int) -> Row | Finding:
        if len(record) != len(columns):
            return self._finding(start, f"the row has {len(record)} values for {len(columns)} columns")
        return Row(start, f"{self._name} line {start}", dict(zip(columns, record, strict=True)))

    def _finding(self, start: int, message: str) -> Finding:
        return Finding(start, None, FindingCode.BROKEN_CSV, message, f"{self._name} line {start}")
