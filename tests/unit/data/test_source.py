"""Sources give the same rows whatever the file looks like, and never leave the workspace."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle_data.findings import DatasetError, Finding, FindingCode
from fettle_data.lines import MAX_ROW_BYTES
from fettle_data.rows import Row
from fettle_data.source import open_rows
from fettle_schema.dataset import DatasetSource

ROWS = [{"text": "a"}, {"text": "é\u2028b"}, {"text": "c"}]
LINES = [json.dumps(row, ensure_ascii=False) for row in ROWS]


def source(path: str, version: str | None = None) -> DatasetSource:
    return DatasetSource.model_validate({"workspace": {"path": path, "version": version}})


def read(spec: DatasetSource, workspace: Path) -> list[tuple[int, dict[str, object]]]:
    rows = list(open_rows(spec, workspace))
    assert all(isinstance(row, Row) for row in rows), rows
    return [(row.number, row.values) for row in rows if isinstance(row, Row)]


def findings(spec: DatasetSource, workspace: Path) -> list[Finding]:
    return [row for row in open_rows(spec, workspace) if isinstance(row, Finding)]


@pytest.mark.parametrize(
    ("path", "content", "numbers"),
    [
        ("a.jsonl", "\n".join(LINES), [1, 2, 3]),
        ("a.ndjson", "\n".join(LINES) + "\n", [1, 2, 3]),
        ("A.JSONL", "\n".join(LINES), [1, 2, 3]),
        ("crlf.jsonl", "\r\n".join(LINES) + "\r\n", [1, 2, 3]),
        ("mark.jsonl", "\ufeff" + "\n".join(LINES), [1, 2, 3]),
        ("blank.jsonl", "\n" + "\n \t\n".join(LINES) + "\n\n", [2, 4, 6]),
        ("lines.json", "\n".join(LINES), [1, 2, 3]),
        ("list.json", json.dumps(ROWS), [1, 2, 3]),
        ("indented.json", "\ufeff" + json.dumps(ROWS, indent=4, ensure_ascii=False) + "\n", [1, 2, 3]),
        ("a.csv", 'text\r\na\r\n"é\u2028b"\r\nc\r\n', [2, 3, 4]),
        ("a.tsv", "text\na\né\u2028b\nc", [2, 3, 4]),
        ("a.txt", "a\r\n\r\né\u2028b\nc\n", [1, 3, 4]),
    ],
)
def test_rows_are_the_same_in_every_kind_of_file(
    tmp_path: Path, write: Callable[..., str], path: str, content: str, numbers: list[int]
) -> None:
    assert read(source(write(content, path)), tmp_path) == list(zip(numbers, ROWS, strict=True))


def test_rows_can_be_read_twice(tmp_path: Path, write: Callable[..., str]) -> None:
    rows = open_rows(source(write(ROWS)), tmp_path)
    assert list(rows) == list(rows)


def test_list_larger_than_one_piece_is_read_whole(tmp_path: Path, write: Callable[..., str]) -> None:
    rows: list[Any] = [{"text": "é" * (index % 5000), "n": index} for index in range(300)]
    path = write(json.dumps(rows, ensure_ascii=False, indent=1), "a.json")
    assert [values for _, values in read(source(path), tmp_path)] == rows


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        ('[\n {"text": "a"},\n {"text": }\n]', FindingCode.BROKEN_JSON, "line 3, column 11: Expecting value"),
        ('[{"text": "a"} {"text": "b"}]', FindingCode.BROKEN_JSON, "line 1, column 16: Expecting ',' or ']'"),
        ('[{"text": "a"}', FindingCode.BROKEN_JSON, "line 1, column 15: Expecting"),
        ('[{"text": "a"}] x', FindingCode.BROKEN_JSON, "column 17: Extra data"),
        ('[{"text": "a"}, 3]', FindingCode.NOT_AN_OBJECT, "a number"),
        ('[{"text": NaN}]', FindingCode.BROKEN_JSON, "NaN is not a JSON value"),
        (b'[{"text": "\xe9"}]', FindingCode.NOT_UTF8, "0xe9 at offset 11 of the file"),
        (b'\xef\xbb\xbf[{"text": "\xe9"}]', FindingCode.NOT_UTF8, "offset 14 of the file"),
        ("[" + '{"text": "b"},\n' * 9000 + "!]", FindingCode.BROKEN_JSON, "line 9001, column 1: Expecting value"),
        ("[" + '{"text": "b"},' * 9000 + "!]", FindingCode.BROKEN_JSON, "line 1, column 126002: Expecting value"),
    ],
)
def test_broken_list_names_the_place(
    tmp_path: Path, write: Callable[..., str], content: str | bytes, code: FindingCode, words: str
) -> None:
    found = findings(source(write(content, "a.json")), tmp_path)
    assert [finding.code for finding in found] == [code]
    assert words in str(found[0])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("a,b\n1,2,3\n", "line 2: the row has 3 values for 2 columns"),
        ('a,b\n1,"x\ny"\n1\n', "line 4: the row has 1 values"),
        ("a,a\n1,2\n", "line 1: a column name is empty or occurs twice"),
        ('a\n"b" c\n', "line 2: this is not valid CSV"),
        ('a\n"b\nc\n', "line 2: this is not valid CSV"),
    ],
)
def test_broken_table_names_the_line(tmp_path: Path, write: Callable[..., str], content: str, words: str) -> None:
    found = findings(source(write(content, "a.csv")), tmp_path)
    assert [finding.code for finding in found] == [FindingCode.BROKEN_CSV]
    assert words in str(found[0])


def test_values_of_a_table_may_hold_newlines(tmp_path: Path, write: Callable[..., str]) -> None:
    path = write('a,b\n1,"x\r\ny"\n2,z\n', "a.csv")
    assert read(source(path), tmp_path) == [(2, {"a": "1", "b": "x\r\ny"}), (4, {"a": "2", "b": "z"})]


def test_bytes_that_are_not_text_are_found_in_tables_too(tmp_path: Path, write: Callable[..., str]) -> None:
    found = findings(source(write(b"text\na\n\xe9\n", "a.csv")), tmp_path)
    assert [(finding.row, finding.code) for finding in found] == [(3, FindingCode.NOT_UTF8)]


def test_row_after_a_line_that_is_too_long_keeps_its_number(tmp_path: Path, write: Callable[..., str]) -> None:
    path = write('{"text": "' + "x" * (2 * MAX_ROW_BYTES) + '"}\n{"text": "\n')
    found = findings(source(path), tmp_path)
    assert [(finding.row, finding.code) for finding in found] == [
        (1, FindingCode.LINE_TOO_LONG),
        (2, FindingCode.BROKEN_JSON),
    ]


@pytest.mark.parametrize(
    ("files", "path", "version", "expected"),
    [
        (["d/data.jsonl", "d/train.jsonl"], "d", None, ["d/data.jsonl"]),
        (["d/train.jsonl", "d/heldout.jsonl", "d/dataset.json"], "d", None, ["d/train.jsonl"]),
        (["d/train.csv"], "d", None, ["d/train.csv"]),
        (["d/only.jsonl"], "d", None, ["d/only.jsonl"]),
        (["d/b.jsonl", "d/a.jsonl", "d/notes.md"], "d", None, ["d/a.jsonl", "d/b.jsonl"]),
        (["x/d/v1.9/data.jsonl", "x/d/v1.10/data.jsonl", "x/d/v1.2/data.jsonl"], "x/d", None, ["x/d/v1.10/data.jsonl"]),
        (["x/d/v1/data.jsonl", "x/d/v2/dataset.json"], "x/d", None, ["x/d/v1/data.jsonl"]),
        (["x/d/v1/data.jsonl", "x/d/v2/data.jsonl"], "x/d", "v1", ["x/d/v1/data.jsonl"]),
    ],
)
def test_directory_means_its_data_or_its_newest_version(
    tmp_path: Path, write: Callable[..., str], files: list[str], path: str, version: str | None, expected: list[str]
) -> None:
    for file in files:
        write(json.dumps({"text": file}) if not file.endswith("csv") else f"text\n{file}\n", file)
    assert [values["text"] for _, values in read(source(path, version), tmp_path)] == expected


@pytest.mark.parametrize(
    ("files", "path", "version", "code", "words"),
    [
        ([], "missing.jsonl", None, FindingCode.NOT_FOUND, "there is no 'missing.jsonl' in the workspace"),
        (["a.jsonl"], "a.jsonl/b", None, FindingCode.NOT_FOUND, "there is no 'a.jsonl/b'"),
        (["d/v1/data.jsonl"], "d", "v2", FindingCode.NOT_FOUND, ".workspace.version: there is no 'd/v2'"),
        (["d/notes.md"], "d", None, FindingCode.NOT_FOUND, "holds no dataset: it holds 'notes.md'"),
        (["datasets/a/data.jsonl"], "datasets", None, FindingCode.NOT_FOUND, "holds no dataset: it holds 'a'"),
        (["d/a.jsonl", "d/test.jsonl"], "d", None, FindingCode.AMBIGUOUS_FILES, "'a.jsonl', 'test.jsonl'"),
        (["a.docx"], "a.docx", None, FindingCode.UNSUPPORTED_FILE, ".jsonl"),
    ],
)
def test_source_that_cannot_be_found_is_refused(
    tmp_path: Path,
    write: Callable[..., str],
    files: list[str],
    path: str,
    version: str | None,
    code: FindingCode,
    words: str,
) -> None:
    for file in files:
        write(ROWS, file)
    with pytest.raises(DatasetError) as caught:
        open_rows(source(path, version), tmp_path)
    assert caught.value.code == code
    assert caught.value.hint
    assert str(caught.value).startswith("spec.dataset.source.workspace.")
    assert words in str(caught.value)


@pytest.mark.parametrize("link", ["link.jsonl", "link", "d/data.jsonl"])
def test_link_that_leads_out_of_the_workspace_is_refused(tmp_path: Path, write: Callable[..., str], link: str) -> None:
    workspace = tmp_path / "workspace"
    (workspace / "d").mkdir(parents=True)
    target = tmp_path / write(ROWS, "outside/data.jsonl")
    (workspace / link).symlink_to(target if link.endswith("jsonl") else target.parent)
    with pytest.raises(DatasetError) as caught:
        open_rows(source(link.split("/")[0]), workspace)
    assert caught.value.code == FindingCode.OUTSIDE_WORKSPACE


def test_link_inside_the_workspace_is_followed(tmp_path: Path, write: Callable[..., str]) -> None:
    workspace = tmp_path / "workspace"
    write(ROWS, "workspace/a.jsonl")
    (workspace / "b.jsonl").symlink_to("a.jsonl")
    (tmp_path / "also").symlink_to(workspace)
    assert len(read(source("b.jsonl"), tmp_path / "also")) == 3


def test_loop_of_links_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").symlink_to("a.jsonl")
    with pytest.raises(DatasetError) as caught:
        open_rows(source("a.jsonl"), tmp_path)
    assert caught.value.code == FindingCode.UNREADABLE


def test_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.jsonl")
    with pytest.raises(DatasetError, match="not a regular file"):
        list(open_rows(source("a.jsonl"), tmp_path))


def test_inline_examples_are_json_or_plain_text(tmp_path: Path) -> None:
    spec = DatasetSource.model_validate({"inline": {"examples": ['{"text": "a"}', "plain text", '{"text": ']}})
    first, second, third = open_rows(spec, tmp_path)
    assert [first, second] == [
        Row(1, "inline example 1", {"text": "a"}),
        Row(2, "inline example 2", {"text": "plain text"}),
    ]
    assert isinstance(third, Finding)
    assert str(third).startswith("inline example 3: this is not valid JSON at column ")


def test_source_without_any_field_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"spec\.dataset\.source: no source is set"):
        open_rows(DatasetSource(), tmp_path)
