import os
from pathlib import Path

import pytest
from starlette.datastructures import Headers

from fettle_api.errors import RangeError
from fettle_api.files.workspace import Workspace
from fettle_api.web.downloads import ByteRange, attachment, parse_range


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        (None, None),
        ("bytes=0-", ByteRange(0, 10)),
        ("bytes=0-0", ByteRange(0, 1)),
        ("bytes=3-5", ByteRange(3, 3)),
        ("bytes=8-99", ByteRange(8, 2)),
        ("bytes=-3", ByteRange(7, 3)),
        ("bytes=-99", ByteRange(0, 10)),
        ("bytes=5-3", None),
        ("bytes=-", None),
        ("bytes=0-1,4-5", None),
        ("lines=0-1", None),
        ("bytes=x-", None),
    ],
)
def test_one_range_is_understood_and_other_forms_ignored(header: str | None, wanted: ByteRange | None) -> None:
    assert parse_range(header, 10) == wanted


@pytest.mark.parametrize(
    ("header", "size_bytes"), [("bytes=10-", 10), ("bytes=-0", 10), ("bytes=0-", 0), ("bytes=-5", 0)]
)
def test_a_range_outside_is_refused(header: str, size_bytes: int) -> None:
    with pytest.raises(RangeError):
        parse_range(header, size_bytes)


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"range": "bytes=0-1"}, 206),
        ({"range": "bytes=0-1", "if-range": '"tag"'}, 206),
        ({"range": "bytes=0-1", "if-range": '"other"'}, 200),
        ({"if-none-match": '"x", "tag"'}, 304),
    ],
)
async def test_validators_decide(tmp_path: Path, headers: dict[str, str], status: int) -> None:
    (tmp_path / "a").write_text("content")
    file = Workspace(tmp_path).open_file("a")
    answer = attachment(file, "a", '"tag"', Headers(headers))
    assert answer.status_code == status
    if status != 304:
        os.close(file.descriptor)
    assert answer.headers["etag"] == '"tag"'


def test_names_cannot_leave_their_header(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("content")
    file = Workspace(tmp_path).open_file("a")
    answer = attachment(file, 'ü"\r\nx: y;.txt', '"t"', Headers({}))
    os.close(file.descriptor)
    assert answer.headers["content-disposition"] == (
        "attachment; filename=\"____x: y_.txt\"; filename*=UTF-8''%C3%BC%22%0D%0Ax%3A%20y%3B.txt"
    )
