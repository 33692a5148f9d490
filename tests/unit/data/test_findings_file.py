"""Every finding is in the file, whatever happens afterwards."""

import json
from pathlib import Path

import pytest

from fettle_data.findings import DatasetError, Finding, FindingCode
from fettle_data.findings_file import FindingsFile
from fettle_data.prepare import prepare
from fettle_schema.dataset import DatasetSpec
from fettle_schema.training_job import Method


def test_all_findings_of_a_dataset_are_written(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"text": ""}\n' * 30)
    spec = DatasetSpec.model_validate({"source": {"workspace": {"path": "data.jsonl"}}})
    path = tmp_path / "findings.jsonl"
    path.write_text("of an earlier attempt\n")
    with FindingsFile(path) as file, pytest.raises(DatasetError) as caught:
        prepare(spec, Method.SFT, 0, tmp_path, report=file.report)
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert [row["row"] for row in rows] == list(range(1, 31))
    assert rows[0] == {
        "row": 1,
        "column": "text",
        "code": "EmptyContent",
        "place": "data.jsonl line 1",
        "message": "column 'text' is empty; a text is expected",
    }
    assert caught.value.findings is not None
    assert len(caught.value.findings.listed) == 20


def test_first_findings_are_on_the_disk_at_once(tmp_path: Path) -> None:
    file = FindingsFile(tmp_path / "findings.jsonl")
    file.report(Finding(None, None, FindingCode.DUPLICATES, "é"))
    assert "é" in (tmp_path / "findings.jsonl").read_text(encoding="utf-8")
    file.close()
    file.close()
