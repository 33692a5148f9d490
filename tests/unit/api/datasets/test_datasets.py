import asyncio
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fettle_api.datasets.preview import Previews
from fettle_api.datasets.service import Datasets
from fettle_api.datasets.views import DatasetView
from fettle_api.errors import (
    BodyError,
    DatasetNotFoundError,
    DatasetRefusedError,
    NameTakenError,
    StorageFullError,
)
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.outbound import Outbound
from fettle_local.datasets import add_dataset, list_datasets
from fettle_schema.dataset import DatasetSource, HubSource, WorkspaceSource

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ROWS = b'{"text": "a"}\n{"text": "b"}\n'
HUB = DatasetSource(hugging_face=HubSource(id="acme/data"))


def datasets_of(root: Path, clock: Callable[[], datetime] = lambda: NOW) -> Datasets:
    return Datasets(Workspace(root), WorkspaceWriter(root), Previews(root, 2**30, 20), clock, Outbound(), 2**30)


async def upload(datasets: Datasets, name: str, content: bytes = ROWS, file_name: str = "a.jsonl") -> DatasetView:
    async with datasets.receive() as incoming:
        await incoming.open(file_name)
        for start in range(0, len(content), 1000):
            await incoming.write(content[start : start + 1000])
        return await datasets.publish(incoming, name, "words")


def entries(path: Path) -> list[str]:
    return sorted(os.listdir(path))


async def test_an_upload_becomes_a_version(tmp_path: Path) -> None:
    dataset = await upload(datasets_of(tmp_path), "rows")
    assert (dataset.name, dataset.path, dataset.created_at) == ("rows", "datasets/rows", NOW)
    (version,) = dataset.versions
    assert (version.name, version.size_bytes, [file.name for file in version.files]) == ("v1", 28, ["data.jsonl"])
    assert (tmp_path / "datasets/rows/v1/data.jsonl").read_bytes() == ROWS
    assert json.loads((tmp_path / "datasets/rows/v1/dataset.json").read_text()) == {
        "name": "rows",
        "description": "words",
        "createdAt": "2026-01-01T12:00:00Z",
        "digest": version.description.digest if version.description else None,
        "fileName": "a.jsonl",
        "sizeBytes": 28,
        "exampleCount": 2,
    }


async def test_the_command_and_the_facade_write_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(ROWS)
    uploaded = await upload(datasets_of(tmp_path), "rows")
    assert not add_dataset(tmp_path, "rows", tmp_path / "a.jsonl").is_new
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "c"}\n')
    assert add_dataset(tmp_path, "rows", tmp_path / "a.jsonl").version == "v2"
    listed = await datasets_of(tmp_path).all()
    assert [version.name for version in listed[0].versions] == ["v1", "v2"]
    assert [dataset.version for dataset in list_datasets(tmp_path)] == ["v1", "v2"]
    assert uploaded.newest == listed[0].versions[0]


async def test_uploads_at_once_each_get_their_version(tmp_path: Path) -> None:
    datasets, others = datasets_of(tmp_path), datasets_of(tmp_path)
    await asyncio.gather(*(upload(one, "rows") for one in [datasets, others] * 8))
    (dataset,) = await datasets.all()
    assert sorted(version.name for version in dataset.versions) == sorted(f"v{number}" for number in range(1, 17))
    assert entries(tmp_path / "datasets") == ["rows"]


async def test_a_large_upload_arrives_whole(tmp_path: Path) -> None:
    line = b'{"text": "' + b"x" * 1000 + b'"}\n'
    dataset = await upload(datasets_of(tmp_path), "rows", line * 3000)
    assert (tmp_path / "datasets/rows/v1/data.jsonl").read_bytes() == line * 3000
    assert dataset.description is not None
    assert (dataset.description.example_count, dataset.description.size_bytes) == (3000, len(line) * 3000)


@pytest.mark.parametrize(
    ("file_name", "content", "count"),
    [
        ("a.csv", b'text\n"a\nb"\nc\n', 2),
        ("a.json", b'[{"a": 1}, {"a": 2}, {"a": 3}]', 3),
        ("a.txt", b"x\n\ny", 2),
        ("a.parquet", b"broken", 0),
    ],
)
async def test_rows_are_counted_where_they_can_be(tmp_path: Path, file_name: str, content: bytes, count: int) -> None:
    dataset = await upload(datasets_of(tmp_path), "rows", content, file_name)
    assert dataset.description is not None
    assert dataset.description.example_count == count
    assert dataset.description.file_name == file_name
    assert entries(tmp_path / "datasets/rows/v1") == ["data" + Path(file_name).suffix, "dataset.json"]


@pytest.mark.parametrize("content", [b"", ROWS])
async def test_an_upload_that_is_not_published_leaves_nothing(tmp_path: Path, content: bytes) -> None:
    async with datasets_of(tmp_path).receive() as incoming:
        await incoming.open("a.jsonl")
        await incoming.write(content)
    assert entries(tmp_path / "datasets") == []


async def test_an_empty_upload_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BodyError):
        await upload(datasets_of(tmp_path), "rows", b"")
    async with datasets_of(tmp_path).receive() as incoming:
        with pytest.raises(BodyError):
            await datasets_of(tmp_path).publish(incoming, "rows")
    assert await datasets_of(tmp_path).all() == []


@pytest.mark.parametrize("name", ["", " ", "x" * 300, "a\0b"])
async def test_a_name_that_says_nothing_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(DatasetRefusedError):
        await upload(datasets_of(tmp_path), name)


@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc", "a/b", ".hidden", "..", "v1\n"])
async def test_a_name_never_leads_out(tmp_path: Path, name: str) -> None:
    dataset = await upload(datasets_of(tmp_path), name)
    assert dataset.description is not None
    assert dataset.description.title == name.strip() or dataset.name == name.strip()
    assert (entries(tmp_path), entries(tmp_path / "datasets")) == (["datasets"], [dataset.name])


async def test_a_full_disk_keeps_nothing(small_disk: Path) -> None:
    with pytest.raises(StorageFullError):
        await upload(datasets_of(small_disk), "rows", bytes(2 * 1024 * 1024))
    with pytest.raises(StorageFullError):
        await datasets_of(small_disk).write_rows("rows", ({"text": "x" * 1000} for _ in range(3000)))
    assert entries(small_disk / "datasets") == []
    await upload(datasets_of(small_disk), "rows")


async def test_examples_of_a_request_become_a_version(tmp_path: Path) -> None:
    datasets = datasets_of(tmp_path)
    rows: list[dict[str, Any]] = [{"text": "ü"}, {"text": "b", "n": 1}]
    dataset, version = await datasets.write_rows("job-1", rows)
    assert (dataset.name, version) == ("job-1", "v1")
    lines = (tmp_path / "datasets/job-1/v1/data.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == rows
    assert (await datasets.write_rows("job-1", rows))[1] == "v2"
    with pytest.raises(DatasetRefusedError):
        await datasets.write_rows("empty", [])
    assert [dataset.name for dataset in await datasets.all()] == ["job-1"]


async def test_a_dataset_of_the_hub_is_registered_and_not_downloaded(tmp_path: Path) -> None:
    datasets = datasets_of(tmp_path)
    dataset = await datasets.register("acme/data", HUB, "words")
    assert (dataset.source, dataset.versions) == (HUB, ())
    assert datasets.registered(dataset.name) == HUB
    assert entries(tmp_path / "datasets" / dataset.name) == ["dataset.json"]
    assert await datasets.register("acme/data", HUB) == dataset
    with pytest.raises(NameTakenError):
        await datasets.register("acme/data", DatasetSource(hugging_face=HubSource(id="acme/other")))
    with pytest.raises(NameTakenError):
        await upload(datasets, "acme/data")
    await datasets.delete(dataset.name)
    assert await datasets.all() == []


async def test_a_path_is_registered_if_it_is_there(tmp_path: Path) -> None:
    datasets, source = datasets_of(tmp_path), DatasetSource(workspace=WorkspaceSource(path="uploads/a.jsonl"))
    with pytest.raises(DatasetRefusedError):
        await datasets.register("mine", source)
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads/a.jsonl").write_bytes(ROWS)
    await datasets.register("mine", source)
    assert len((await datasets.preview("mine", 5)).rows) == 2
    await datasets.delete("mine")
    assert (tmp_path / "uploads/a.jsonl").exists()


async def test_a_version_can_be_deleted_alone(tmp_path: Path) -> None:
    datasets = datasets_of(tmp_path)
    await upload(datasets, "rows")
    await upload(datasets, "rows")
    await datasets.delete("rows", "v2")
    assert [version.name for version in (await datasets.get("rows")).versions] == ["v1"]
    for name, version in (("rows", "v9"), ("rows", "../../jobs"), ("..", None), ("nope", None), ("", None)):
        with pytest.raises(DatasetNotFoundError):
            await datasets.delete(name, version)


async def test_what_a_trainer_planted_is_no_dataset(tmp_path: Path) -> None:
    root, outside = tmp_path / "workspace", tmp_path / "outside"
    (root / "datasets/real/v1").mkdir(parents=True)
    (root / "datasets/real/v1/data.jsonl").write_bytes(ROWS)
    (root / "datasets/real/v1/dataset.json").write_text("[" * 100_000)
    (root / "datasets/real/v1/link.jsonl").symlink_to(outside)
    (root / "datasets/real/v2").symlink_to(outside)
    (root / "datasets/linked").symlink_to(outside)
    (root / "datasets/empty").mkdir()
    (root / "datasets/no name\n").mkdir()
    (outside / "v1").mkdir(parents=True)
    (outside / "v1/data.jsonl").write_text("secret")
    os.mkfifo(root / "datasets/real/v1/pipe.jsonl")
    (dataset,) = await datasets_of(root).all()
    assert (dataset.name, dataset.description) == ("real", None)
    assert [(version.name, [file.name for file in version.files]) for version in dataset.versions] == [
        ("v1", ["data.jsonl"])
    ]
    assert dataset.created_at is not None
    for name in ("linked", "empty", "no name\n", "real/v1", "../workspace/datasets/real"):
        with pytest.raises(DatasetNotFoundError):
            await datasets_of(root).get(name)


async def test_files_without_a_version_are_a_dataset_too(tmp_path: Path) -> None:
    (tmp_path / "datasets/plain").mkdir(parents=True)
    (tmp_path / "datasets/plain/train.jsonl").write_bytes(ROWS)
    (dataset,) = await datasets_of(tmp_path).all()
    assert [version.name for version in dataset.versions] == [""]
    assert len((await datasets_of(tmp_path).preview("plain", 1)).rows) == 1


async def test_the_newest_dataset_is_listed_first(tmp_path: Path) -> None:
    for number, name in enumerate(("b", "a", "c")):
        await upload(datasets_of(tmp_path, lambda: NOW.replace(minute=number)), name)  # noqa: B023 - used at once
    assert [dataset.name for dataset in await datasets_of(tmp_path).all()] == ["c", "a", "b"]
