"""Opens a dataset: files in the workspace, examples in the manifest, or a dataset on the hub."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from fettle_data.columnar_rows import read_arrow, read_parquet
from fettle_data.findings import DatasetError, Finding, FindingCode
from fettle_data.hub import open_hub_dataset
from fettle_data.json_rows import parse_row, read_json_lines, read_json_list
from fettle_data.locate import EXTENSIONS, locate, open_file
from fettle_data.rows import Row, Rows
from fettle_data.table_rows import read_csv, read_text_lines, read_tsv
from fettle_schema.dataset import DatasetSource, InlineSource, WorkspaceSource

Reader = Callable[[BinaryIO, str], Iterator[Row | Finding]]

_READERS: dict[str, Reader] = {
    ".jsonl": read_json_lines,
    ".ndjson": read_json_lines,
    ".csv": read_csv,
    ".tsv": read_tsv,
    ".txt": read_text_lines,
    ".parquet": read_parquet,
    ".arrow": read_arrow,
    ".feather": read_arrow,
}


def open_rows(spec: DatasetSource, workspace: Path, field: str = "spec.dataset.source") -> Rows:
    """The rows of a source, as a stream. `field` is the place of `spec` in the manifest, for messages."""
    if spec.workspace is not None:
        return _open_files(spec.workspace, workspace, f"{field}.workspace")
    if spec.inline is not None:
        return _open_inline(spec.inline)
    if spec.hugging_face is not None:
        return open_hub_dataset(spec.hugging_face, f"{field}.huggingFace")
    raise DatasetError(
        FindingCode.NOT_FOUND, f"{field}: no source is set", "Set one of workspace, huggingFace and inline."
    )


def _open_files(source: WorkspaceSource, workspace: Path, field: str) -> Rows:
    files = locate(source, workspace, field)
    for file in files:
        if file.suffix.lower() not in EXTENSIONS:
            message = f"{field}.path: {file.name!r} is of no type that is read; these are {', '.join(EXTENSIONS)}"
            raise DatasetError(FindingCode.UNSUPPORTED_FILE, message)
    root = workspace.resolve()
    name = str(files[0].relative_to(root) if len(files) == 1 else files[0].parent.relative_to(root))
    return Rows(name, lambda: _read_files(files))


def _read_files(files: list[Path]) -> Iterator[Row | Finding]:
    """Rows are numbered in each file anew; their places name the file."""
    for file in files:
        with open_file(file) as stream:
            read = _READERS.get(file.suffix.lower()) or _json_reader(stream)
            yield from read(stream, file.name)


def _json_reader(stream: BinaryIO) -> Reader:
    """A .json file holds one list, or one object a line."""
    start = stream.read(4096).removeprefix(b"\xef\xbb\xbf").lstrip()
    stream.seek(0)
    return read_json_list if start.startswith(b"[") else read_json_lines


def _open_inline(source: InlineSource) -> Rows:
    def read() -> Iterator[Row | Finding]:
        for number, text in enumerate(source.examples, start=1):
            place = f"inline example {number}"
            is_json = text.lstrip().startswith("{")
            yield parse_row(text, number, place) if is_json else Row(number, place, {"text": text})

    return Rows("inline examples", read)
