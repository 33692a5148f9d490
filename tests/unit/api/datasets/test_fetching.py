import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fettle_api.datasets.preview import Previews
from fettle_api.datasets.service import Datasets
from fettle_api.errors import BodyError, BodyTooLargeError, DatasetRefusedError, RemoteError, UrlError
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.outbound import Outbound
from tests.support.plain_server import plain_server

ROWS = b'{"text": "a"}\n'


def datasets_of(root: Path, max_bytes: int = 1000) -> Datasets:
    return Datasets(
        Workspace(root),
        WorkspaceWriter(root),
        Previews(root, 2**30, 20),
        lambda: datetime.now(UTC),
        Outbound(frozenset({"127.0.0.1"})),
        max_bytes,
    )


def answering(content: bytes, status: str = "200 OK") -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


@pytest.mark.parametrize(
    ("path", "name", "stored"),
    [
        ("a/rows.jsonl?token=x", "", "rows"),
        ("rows%20b.jsonl", "mine", "mine"),
        ("", "", "dataset"),
        ("..%2f..", "x", "x"),
    ],
)
async def test_a_file_is_fetched_once(tmp_path: Path, path: str, name: str, stored: str) -> None:
    async with plain_server(answering(ROWS)) as (port, asked):
        dataset = await datasets_of(tmp_path).fetch(f"http://127.0.0.1:{port}/{path}", name, "words")
    assert len(asked) == 1
    assert (dataset.name, len(dataset.versions)) == (stored, 1)
    assert dataset.description is not None
    assert (dataset.description.origin, dataset.description.example_count) == ("url", 1)
    assert "token" not in (tmp_path / "datasets" / stored / "v1/dataset.json").read_text()


@pytest.mark.parametrize(
    ("answer", "path", "error"),
    [
        (answering(b"x", "404 Not Found"), "a.jsonl", RemoteError),
        (answering(b"x" * 2000), "a.jsonl", BodyTooLargeError),
        (answering(b""), "a.jsonl", BodyError),
        (answering(ROWS), "a.exe", DatasetRefusedError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nhalf", "a.jsonl", RemoteError),
        (b"HTTP/1.1 301 Moved\r\nLocation: http://10.0.0.1/\r\nContent-Length: 0\r\n\r\n", "a.jsonl", UrlError),
    ],
)
async def test_what_cannot_be_fetched_leaves_nothing(
    tmp_path: Path, answer: bytes, path: str, error: type[Exception]
) -> None:
    async with plain_server(answer) as (port, _):
        with pytest.raises(error):
            await datasets_of(tmp_path).fetch(f"http://127.0.0.1:{port}/{path}", "x")
    assert not (tmp_path / "datasets").exists() or os.listdir(tmp_path / "datasets") == []
