"""Previews show the first rows as they are."""

from collections.abc import Callable
from pathlib import Path

import pytest

from fettle_data.findings import DatasetError, FindingCode
from fettle_data.preview import preview
from fettle_schema.dataset import DatasetFormat, DatasetSource


def source(path: str) -> DatasetSource:
    return DatasetSource.model_validate({"workspace": {"path": path}})


def test_preview_gives_the_first_rows_and_all_their_columns(tmp_path: Path, write: Callable[..., str]) -> None:
    rows = [{"prompt": "a", "completion": "b"}, {"prompt": "c", "score": 1}, {"other": 2}]
    result = preview(source(write(rows)), tmp_path, limit=2)
    assert result.rows == rows[:2]
    assert result.columns == ["prompt", "completion", "score"]
    assert result.formats == [DatasetFormat.PROMPT_COMPLETION]
    assert result.findings == []


def test_preview_reads_past_rows_that_are_broken(tmp_path: Path, write: Callable[..., str]) -> None:
    result = preview(source(write('{"x": 1}\n{\n{"x": 2}\n')), tmp_path, limit=10)
    assert result.rows == [{"x": 1}, {"x": 2}]
    assert [(finding.row, finding.code) for finding in result.findings] == [(2, FindingCode.BROKEN_JSON)]
    assert result.formats == []


def test_preview_of_an_empty_file_is_empty(tmp_path: Path, write: Callable[..., str]) -> None:
    result = preview(source(write(b"")), tmp_path, limit=10)
    assert (result.columns, result.rows, result.formats) == ([], [], [])


def test_preview_of_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="there is no"):
        preview(source("missing.jsonl"), tmp_path, limit=10)
