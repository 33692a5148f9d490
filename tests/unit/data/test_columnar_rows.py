"""Parquet and Arrow files give the same rows as JSON lines, and broken ones say so."""

import datetime
import io
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pytest
from pyarrow import parquet

from fettle_data.columnar_rows import read_arrow, read_parquet
from fettle_data.findings import Finding, FindingCode
from fettle_data.rows import Row
from fettle_data.source import open_rows
from fettle_schema.dataset import DatasetSource

Reader = Callable[[BinaryIO, str], Iterator[Row | Finding]]
ROWS = [
    {"messages": [{"role": "user", "content": f"é {number}", "name": None}], "score": number / 2}
    for number in range(700)
]


def parquet_bytes(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows), sink, row_group_size=100)
    return sink.getvalue()


def arrow_bytes(rows: list[dict[str, Any]], *, is_stream: bool) -> bytes:
    sink, table = io.BytesIO(), pa.Table.from_pylist(rows)
    with (pa.ipc.new_stream if is_stream else pa.ipc.new_file)(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=300)
    return sink.getvalue()


FILES: list[tuple[str, bytes, Reader]] = [
    ("a.parquet", parquet_bytes(ROWS), read_parquet),
    ("a.arrow", arrow_bytes(ROWS, is_stream=False), read_arrow),
    ("stream.arrow", arrow_bytes(ROWS, is_stream=True), read_arrow),
    ("a.feather", arrow_bytes(ROWS, is_stream=False), read_arrow),
]


@pytest.mark.parametrize(("name", "content", "_reader"), FILES, ids=[file[0] for file in FILES])
def test_rows_are_those_that_were_written(tmp_path: Path, name: str, content: bytes, _reader: Reader) -> None:
    (tmp_path / name).write_bytes(content)
    source = DatasetSource.model_validate({"workspace": {"path": name}})
    assert list(open_rows(source, tmp_path)) == [
        Row(number, f"{name} row {number}", values) for number, values in enumerate(ROWS, start=1)
    ]


@pytest.mark.parametrize(("name", "content", "reader"), FILES, ids=[file[0] for file in FILES])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_part_of_a_file_is_a_finding(name: str, content: bytes, reader: Reader, share: float) -> None:
    *rows, last = reader(io.BytesIO(content[: int(len(content) * share)]), name)
    assert isinstance(last, Finding)
    assert (last.code, last.place, last.row) == (FindingCode.BROKEN_TABLE, name, len(rows) + 1)


@pytest.mark.parametrize(("name", "content", "reader"), FILES, ids=[file[0] for file in FILES])
def test_damaged_file_never_breaks_the_reader(name: str, content: bytes, reader: Reader) -> None:
    generator = random.Random(name)
    broken = 0
    for _ in range(60):
        damaged = bytearray(content)
        for _ in range(3):
            damaged[generator.randrange(len(damaged))] = generator.randrange(256)
        *_, last = reader(io.BytesIO(damaged), name)
        broken += isinstance(last, Finding)
    assert broken > 10


def test_feather_of_version_1_is_named() -> None:
    assert [str(row) for row in read_arrow(io.BytesIO(b"FEA1....FEA1"), "a.feather")] == [
        "a.feather: it is a Feather file of version 1; version 2, an Arrow file, is expected"
    ]


def test_column_twice_is_a_finding() -> None:
    sink, schema = io.BytesIO(), pa.schema([("a", pa.int64()), ("a", pa.int64())])
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch([[1], [2]], schema=schema))
    assert "occurs twice" in str(next(read_arrow(io.BytesIO(sink.getvalue()), "a.arrow")))


def test_values_become_those_of_json() -> None:
    row = {
        "date": datetime.datetime(2026, 1, 2, 3),
        "decimal": Decimal("1.50"),
        "list": [datetime.date(2026, 1, 2)],
        "bytes": b"x",
        "none": None,
    }
    first = next(read_parquet(io.BytesIO(parquet_bytes([row])), "a.parquet"))
    assert isinstance(first, Row)
    assert first.values == {
        "date": "2026-01-02T03:00:00",
        "decimal": "1.50",
        "list": ["2026-01-02"],
        "bytes": b"x",
        "none": None,
    }


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["d/b.parquet", "d/a.parquet"], ["d/a.parquet", "d/b.parquet"]),
        (["d/train-00000-of-00002.parquet", "d/train-00001-of-00002.parquet", "d/test-00000-of-00001.parquet"], None),
        (["d/a.jsonl", "d/a.parquet"], ["d/a.jsonl"]),
    ],
)
def test_directory_may_hold_several_files(tmp_path: Path, files: list[str], expected: list[str] | None) -> None:
    (tmp_path / "d").mkdir()
    for file in files:
        content = f'{{"text": "{file}"}}'.encode() if file.endswith("jsonl") else parquet_bytes([{"text": file}])
        (tmp_path / file).write_bytes(content)
    rows = open_rows(DatasetSource.model_validate({"workspace": {"path": "d"}}), tmp_path)
    assert [row.values["text"] for row in rows if isinstance(row, Row)] == (expected or files[:2])
