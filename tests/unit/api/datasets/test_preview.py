import json
from pathlib import Path
from typing import Any

import pytest

from fettle_api.datasets.preview import Previews
from fettle_api.datasets.views import DatasetPreview
from fettle_api.errors import DatasetRefusedError
from fettle_schema.dataset import DatasetSource, HubSource, InlineSource, WorkspaceSource


async def preview(root: Path, path: str = "data.jsonl", limit: int = 3, **options: Any) -> DatasetPreview:
    source = DatasetSource(workspace=WorkspaceSource(path=path))
    limits = {"memory_bytes": 2**30, "timeout_seconds": 20.0, **options}
    return await Previews(root, **limits).rows(source, limit)


async def test_rows_columns_formats_and_findings(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text('{"prompt": "a", "completion": "ü"}\n{\n{"prompt": "c"}\n{"x": 1}\n')
    found = await preview(tmp_path)
    assert found.rows == ({"prompt": "a", "completion": "ü"}, {"prompt": "c"})
    assert found.columns == ("prompt", "completion")
    assert found.formats == ("prompt-completion",)
    assert len(found.findings) == 1
    assert "line 2" in found.findings[0]


async def test_a_table_in_native_code_is_read_within_the_limits(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    arrow = pytest.importorskip("pyarrow")
    parquet.write_table(arrow.table({"text": ["a", "b"], "raw": [b"\xff", None]}), tmp_path / "data.parquet")
    found = await preview(tmp_path, "data.parquet")
    assert found.rows == ({"text": "a", "raw": "(1 bytes)"}, {"text": "b", "raw": None})


async def test_examples_of_a_manifest(tmp_path: Path) -> None:
    source = DatasetSource(inline=InlineSource(examples=['{"text": "a"}', "plain"]))
    assert len((await Previews(tmp_path, 2**30, 20).rows(source, 1)).rows) == 1


async def test_long_texts_are_cut_and_odd_ones_are_shown(tmp_path: Path) -> None:
    row = {"text": "x" * 100_000, "many": list(range(5000)), "deep": {"a": ["y" * 30_000]}, "nan": "NaN"}
    (tmp_path / "data.jsonl").write_text(json.dumps(row))
    (shown,) = (await preview(tmp_path)).rows
    assert len(shown["text"]) == 20_001
    assert len(shown["many"]) == 1000
    assert len(shown["deep"]["a"][0]) == 20_001


@pytest.mark.parametrize("path", ["missing.jsonl", "data.pdf", "directory", "link.jsonl"])
async def test_what_cannot_be_read_is_refused(tmp_path: Path, path: str) -> None:
    root = tmp_path / "workspace"
    (root / "directory").mkdir(parents=True)
    (root / "data.pdf").write_text("x")
    (tmp_path / "secret.jsonl").write_text('{"text": "secret"}')
    (root / "link.jsonl").symlink_to(tmp_path / "secret.jsonl")
    with pytest.raises(DatasetRefusedError) as caught:
        await preview(root, path)
    assert "secret" not in str(caught.value).replace("secret.jsonl", "")


async def test_a_row_that_needs_too_much_memory_is_refused(tmp_path: Path) -> None:
    value = "[" + ",".join(["{}"] * 4_000_000) + "]"
    (tmp_path / "data.jsonl").write_text('{"a": ' + value + "}")
    with pytest.raises(DatasetRefusedError):
        await preview(tmp_path, memory_bytes=256 * 1024 * 1024)


async def test_a_preview_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    (tmp_path / "data.jsonl").write_text("{}\n")
    with pytest.raises(DatasetRefusedError, match="more time or memory"):
        await preview(tmp_path, timeout_seconds=0.001)


async def test_a_dataset_of_the_hub_is_not_downloaded(tmp_path: Path) -> None:
    with pytest.raises(DatasetRefusedError, match="acme/data"):
        await Previews(tmp_path, 2**30, 20).rows(DatasetSource(hugging_face=HubSource(id="acme/data")), 1)
