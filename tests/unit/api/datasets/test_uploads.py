import asyncio
import os
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fettle_api.datasets.uploads import Uploads, UploadView
from fettle_api.errors import BodyError, DatasetNotFoundError, NameTakenError, StorageFullError
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_data.source import open_rows
from fettle_schema.dataset import DatasetSource, WorkspaceSource
from tests.support.polling import eventually

ROWS = b'{"text": "a"}\n'


def uploads_of(root: Path, at_seconds: int = 0) -> Uploads:
    return Uploads(Workspace(root), WorkspaceWriter(root), lambda: datetime.fromtimestamp(at_seconds, UTC))


async def upload(root: Path, upload_id: str, content: bytes = ROWS, **record: Any) -> UploadView:
    uploads = uploads_of(root)
    async with uploads.receive() as incoming:
        await incoming.open("rows.jsonl")
        await incoming.write(content)
        return await uploads.publish(incoming, upload_id, record)


async def test_an_upload_is_kept_with_its_record_and_a_job_can_read_it(tmp_path: Path) -> None:
    made = await upload(tmp_path, "upload_1_0123abcd", purpose="fine-tune", name="ü.jsonl")
    uploads = uploads_of(tmp_path)
    assert made == await uploads.get("upload_1_0123abcd")
    assert made.record == {"purpose": "fine-tune", "name": "ü.jsonl"}
    assert made.file.size_bytes == len(ROWS)
    assert len(list(open_rows(DatasetSource(workspace=WorkspaceSource(path=made.path)), tmp_path))) == 1
    file = await uploads.open("upload_1_0123abcd")
    assert os.read(file.descriptor, 100) == ROWS
    os.close(file.descriptor)
    await uploads.delete("upload_1_0123abcd")
    assert await uploads.all() == []
    assert os.listdir(tmp_path / "uploads") == []


async def test_an_id_is_used_once(tmp_path: Path) -> None:
    await upload(tmp_path, "file-1")
    with pytest.raises(NameTakenError):
        await upload(tmp_path, "file-1", b"other")
    assert (tmp_path / "uploads/file-1/data.jsonl").read_bytes() == ROWS
    assert [one.id for one in await uploads_of(tmp_path).all()] == ["file-1"]


@pytest.mark.parametrize("upload_id", ["", "..", "../x", "a/b", ".a", "a\0", "x" * 200])
async def test_an_id_never_leads_out(tmp_path: Path, upload_id: str) -> None:
    with pytest.raises(BodyError):
        await upload(tmp_path, upload_id)
    for call in (uploads_of(tmp_path).get, uploads_of(tmp_path).open, uploads_of(tmp_path).delete):
        with pytest.raises(DatasetNotFoundError):
            await call(upload_id)
    assert os.listdir(tmp_path / "uploads") == []


async def test_what_a_trainer_planted_is_no_upload(tmp_path: Path) -> None:
    root, outside = tmp_path / "workspace", tmp_path / "outside"
    outside.mkdir()
    (outside / "data.jsonl").write_text("secret")
    (root / "uploads/link").mkdir(parents=True)
    (root / "uploads/link/data.jsonl").symlink_to(outside / "data.jsonl")
    (root / "uploads/linked").symlink_to(outside)
    (root / "uploads/broken").mkdir()
    (root / "uploads/broken/data.jsonl").write_bytes(ROWS)
    (root / "uploads/broken/upload.json").write_text("[" * 100_000)
    (found,) = await uploads_of(root).all()
    assert (found.id, found.record) == ("broken", {})


async def test_a_full_disk_keeps_nothing(small_disk: Path) -> None:
    with pytest.raises(StorageFullError):
        await upload(small_disk, "file-1", bytes(2 * 1024 * 1024))
    assert os.listdir(small_disk / "uploads") == []


async def test_a_file_that_expires_is_gone_with_its_content(tmp_path: Path) -> None:
    await upload(tmp_path, "file-1", expires_at=100)
    await upload(tmp_path, "file-2", expires_at="never")
    assert (await uploads_of(tmp_path, 99).get("file-1")).id == "file-1"
    with pytest.raises(DatasetNotFoundError):
        await uploads_of(tmp_path, 100).get("file-1")
    assert [one.id for one in await uploads_of(tmp_path, 100).all()] == ["file-2"]
    assert os.listdir(tmp_path / "uploads") == ["file-2"]


async def test_what_expires_is_removed_although_nobody_asks(tmp_path: Path) -> None:
    now = 99.0
    uploads = Uploads(Workspace(tmp_path), WorkspaceWriter(tmp_path), lambda: datetime.fromtimestamp(now, UTC))
    await upload(tmp_path, "file-1", expires_at=100)
    sweeping = asyncio.create_task(uploads.sweep_periodically(pause_seconds=0.01))
    try:
        assert [one.id for one in await uploads.all()] == ["file-1"]
        now = 100.0
        await eventually(has_none(tmp_path / "uploads"), "the expired file is gone", 30, 0.01)
    finally:
        sweeping.cancel()


def has_none(directory: Path) -> Callable[[], Awaitable[bool]]:
    async def is_empty() -> bool:
        return os.listdir(directory) == []

    return is_empty


@pytest.mark.parametrize(
    ("content", "row"),
    [
        (b'\n {"a": 1}\n{"b": 2}\n', {"a": 1}),
        (b'{"a": 1}', {"a": 1}),
        (b"[1]\n", {}),
        (b"no JSON\n", {}),
        (b"\xff\n", {}),
        (b'{"a": "' + b"x" * 2_000_000 + b'"}\n', {}),
    ],
)
async def test_the_first_row_tells_what_the_others_are(tmp_path: Path, content: bytes, row: dict[str, Any]) -> None:
    await upload(tmp_path, "file-1", content)
    assert await uploads_of(tmp_path).first_row("file-1") == row
