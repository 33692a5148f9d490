"""An open file as an HTTP answer: attachment, ranges, validators. Opens no path itself."""

import asyncio
import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from fettle_api.errors import RangeError
from fettle_api.files.workspace import OpenFile

_CHUNK_BYTES = 256 * 1024


@dataclass(frozen=True)
class ByteRange:
    """Bytes from `start` on, `length` of them."""

    start: int
    length: int


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """The one range that is asked for; None for all of it (also for forms that we may ignore). Raises RangeError."""
    match = re.fullmatch(r"bytes=\s*(\d{0,19})-(\d{0,19})\s*", header or "")
    if match is None or match.group(1, 2) == ("", ""):
        return None
    first, last = match.group(1, 2)
    if first == "":
        length = min(int(last), size_bytes)
        start = size_bytes - length
    else:
        start = int(first)
        end = min(int(last), size_bytes - 1) if last else size_bytes - 1
        if last and int(last) < start:
            return None
        length = end - start + 1
    if length <= 0 or start >= size_bytes:
        raise RangeError(size_bytes)
    return ByteRange(start, length)


def attachment(file: OpenFile, name: str, etag: str, headers: Headers, with_body: bool = True) -> Response:
    """The answer to a GET or HEAD; takes over `file` and closes it."""
    answer_headers = {
        "Accept-Ranges": "bytes",
        "Content-Disposition": _disposition(name),
        "ETag": etag,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
    }
    if etag in re.split(r"\s*,\s*", headers.get("if-none-match", "")):
        os.close(file.descriptor)
        return Response(status_code=304, headers=answer_headers)
    is_partial_wanted = headers.get("if-range", etag) == etag
    try:
        part = parse_range(headers.get("range"), file.size_bytes) if is_partial_wanted else None
    except RangeError:
        os.close(file.descriptor)
        raise
    chosen = part or ByteRange(0, file.size_bytes)
    answer_headers["Content-Length"] = str(chosen.length)
    if part is not None:
        end = part.start + part.length - 1
        answer_headers["Content-Range"] = f"bytes {part.start}-{end}/{file.size_bytes}"
    sent = chosen if with_body else ByteRange(0, 0)
    return _FileResponse(file.descriptor, sent, 206 if part else 200, answer_headers)


class _FileResponse(StreamingResponse):
    """Closes the file however the answer ends, also when the caller went away."""

    def __init__(self, descriptor: int, sent: ByteRange, status_code: int, headers: dict[str, str]) -> None:
        super().__init__(_chunks(descriptor, sent), status_code, headers, media_type="application/octet-stream")
        self._descriptor = descriptor

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            os.close(self._descriptor)


async def _chunks(descriptor: int, chosen: ByteRange) -> AsyncIterator[bytes]:
    position, end = chosen.start, chosen.start + chosen.length
    while position < end:
        block = await asyncio.to_thread(os.pread, descriptor, min(_CHUNK_BYTES, end - position), position)
        if not block:
            raise OSError("the file became shorter while it was sent")
        position += len(block)
        yield block


def _disposition(name: str) -> str:
    plain = re.sub(r'[^\x20-\x7e]|["\\%;]', "_", name)
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"
