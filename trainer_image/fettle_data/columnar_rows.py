"""Parquet and Arrow files → rows, in batches. pyarrow is imported when the first of these files is opened.

A batch of rows is in memory at a time: of an Arrow file as it was written, of a Parquet file some pages.
Nothing can be read after the first broken batch.
"""

from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, BinaryIO

from fettle_data.findings import DatasetError, Finding, FindingCode, name_list
from fettle_data.rows import Row

_ROWS_AT_ONCE = 256
_BUFFER_BYTES = 1024 * 1024
"""Without one, pyarrow reads whole column chunks: a file of one row group is then in memory as a whole."""
_MAGIC_OF_FILES = b"ARROW1"
_MAGIC_OF_FEATHER_1 = b"FEA1"
_MAX_REASON = 200


def read_parquet(stream: BinaryIO, name: str) -> Iterator[Row | Finding]:
    """One row for each row of a Parquet file."""

    def batches() -> Iterator[Any]:
        from pyarrow import parquet

        with parquet.ParquetFile(stream, pre_buffer=False, buffer_size=_BUFFER_BYTES) as file:
            yield file.schema_arrow
            yield from file.iter_batches(batch_size=_ROWS_AT_ONCE)

    return _read(batches, name, "Parquet")


def read_arrow(stream: BinaryIO, name: str) -> Iterator[Row | Finding]:
    """One row for each row of an Arrow IPC file (also called Feather) or stream, which is what `datasets` writes."""
    magic = stream.read(len(_MAGIC_OF_FILES))
    stream.seek(0)

    def batches() -> Iterator[Any]:
        from pyarrow import ipc

        if magic == _MAGIC_OF_FILES:
            with ipc.open_file(stream) as file:
                yield file.schema
                yield from map(file.get_batch, range(file.num_record_batches))
        else:
            with ipc.open_stream(stream) as reader:
                yield reader.schema
                yield from reader

    if magic.startswith(_MAGIC_OF_FEATHER_1):
        return iter([_broken(name, None, "it is a Feather file of version 1; version 2, an Arrow file, is expected")])
    return _read(batches, name, "Arrow")


def _read(batches: Callable[[], Iterator[Any]], name: str, kind: str) -> Iterator[Row | Finding]:
    """Rows of the batches, which come after their schema."""
    try:
        from pyarrow import ArrowException
    except ImportError as error:
        message = f"{name}: {kind} files cannot be read here, because the package 'pyarrow' is not installed"
        raise DatasetError(FindingCode.UNREADABLE, message, "Install the extra `trainer` or `api`.") from error
    number = 0
    try:
        opened = batches()
        columns = next(opened).names
        if len(set(columns)) < len(columns):
            yield _broken(name, None, f"a column name occurs twice: {name_list(columns)}")
            return
        for batch in opened:
            batch.validate(full=True)  # or a damaged file crashes the process
            for start in range(0, batch.num_rows, _ROWS_AT_ONCE):
                for values in _values(batch.slice(start, _ROWS_AT_ONCE)):
                    number += 1
                    place = f"{name} row {number}"
                    yield Row(number, place, values)
    except (ArrowException, OSError, EOFError, ValueError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno is not None:  # the machine, not the file
            raise
        reason = (str(error).splitlines() or [""])[0][:_MAX_REASON]
        yield _broken(name, number, f"this is not a whole {kind} file: {reason}")


def _values(batch: Any) -> list[dict[str, Any]]:
    return [{column: _plain(value) for column, value in row.items()} for row in batch.to_pylist()]


def _plain(value: Any) -> Any:
    """The value as JSON would have it; bytes stay bytes, because they are no text."""
    match value:
        case list():
            return [_plain(item) for item in value]
        case dict():
            return {key: _plain(item) for key, item in value.items()}
        case datetime() | date() | time():
            return value.isoformat()
        case timedelta() | Decimal():
            return str(value)
    return value


def _broken(name: str, number: int | None, message: str) -> Finding:
    after = f"after row {number}, " if number else ""
    return Finding(number + 1 if number is not None else None, None, FindingCode.BROKEN_TABLE, after + message, name)
