"""Datasets in a temporary workspace."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fettle_data.prepare import PreparedDataset, prepare
from fettle_schema.dataset import DatasetSpec
from fettle_schema.training_job import Method

Write = Callable[..., str]
Prepare = Callable[..., PreparedDataset]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes bytes, a text or rows (as JSON Lines) to a path in the workspace, and returns the path."""

    def write_file(content: bytes | str | list[Any], path: str = "data.jsonl") -> str:
        if isinstance(content, list):
            content = "".join(json.dumps(row) + "\n" for row in content)
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture
def prepare_path(tmp_path: Path) -> Prepare:
    """Prepares a path of the workspace; keyword arguments are other fields of `spec.dataset`."""

    def prepare_dataset(path: str, method: Method = Method.SFT, seed: int = 42, **fields: Any) -> PreparedDataset:
        spec = DatasetSpec.model_validate({"source": {"workspace": {"path": path}}, **fields})
        return prepare(spec, method, seed, tmp_path)

    return prepare_dataset
