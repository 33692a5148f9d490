from typing import Any

import pytest
from starlette.requests import Request

from fettle_api.errors import BodyError, BodyTooLargeError
from fettle_api.web.multipart import MAX_FIELD_BYTES, Form, read_form

BOUNDARY = "xyz"


class Sink:
    """Keeps what arrives."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.content = b""

    async def open(self, file_name: str) -> None:
        self.names.append(file_name)

    async def write(self, content: bytes) -> None:
        self.content += content


def part(name: str, value: bytes, file_name: str | None = None) -> bytes:
    extra = f'; filename="{file_name}"' if file_name is not None else ""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n'
    return head.encode() + value + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def request(body: bytes, piece_bytes: int = 65536, **headers: str) -> Request:
    named = {"content-type": f"multipart/form-data; boundary={BOUNDARY}", **headers}
    pieces = [body[start : start + piece_bytes] for start in range(0, len(body), piece_bytes)]

    async def receive() -> dict[str, Any]:
        if pieces:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    scope = {"type": "http", "headers": [(key.encode(), value.encode()) for key, value in named.items()]}
    return Request(scope, receive)


async def read(body: bytes, sink: Sink, limit: int = 1000, **options: Any) -> Form:
    return await read_form(request(body, **options), sink, limit)


@pytest.mark.parametrize("piece_bytes", [1, 7, 65536])
async def test_the_file_goes_to_the_sink_and_fields_are_kept(piece_bytes: int) -> None:
    sink, content = Sink(), b"line\r\n--xy\r\n\0\xff" * 20
    body = part("name", "ü".encode()) + part("file", content, "a b.jsonl") + part("description", b"") + END
    form = await read(body, sink, piece_bytes=piece_bytes)
    assert form == Form({"name": "ü", "description": ""}, "a b.jsonl")
    assert (sink.names, sink.content) == (["a b.jsonl"], content)


async def test_a_form_without_a_file() -> None:
    sink = Sink()
    assert (await read(part("name", b"x") + END, sink)).file_name is None
    assert sink.names == []


async def test_a_field_called_file_is_no_file() -> None:
    assert (await read(part("file", b"x") + END, Sink())).fields == {"file": "x"}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "boundary"),
        (b"not a form", "form"),
        (part("file", b"x", "a"), "boundary"),
        (part("file", b"x", "a") + part("file", b"y", "b") + END, "more than one"),
        (part("name", b"\xff") + END, "UTF-8"),
        (part("name", b"a\0b") + END, "NUL"),
        (part("file", b"x", "a\0b") + END, "NUL"),
        (b"".join(part(f"f{number}", b"") for number in range(40)) + END, "parts"),
        (part("n" * 10_000, b"") + END, "form"),
    ],
)
async def test_a_bad_form_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(BodyError, match=said):
        await read(body, Sink())


@pytest.mark.parametrize("kind", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary="])
async def test_another_content_type_is_refused(kind: str) -> None:
    with pytest.raises(BodyError, match="multipart/form-data"):
        await read_form(request(END, **{"content-type": kind}), Sink(), 10)


async def test_a_large_file_is_refused_while_it_arrives() -> None:
    sink = Sink()
    with pytest.raises(BodyTooLargeError, match="1000"):
        await read(part("file", bytes(5000), "a") + END, sink, piece_bytes=100)
    assert len(sink.content) <= 1000


async def test_a_large_field_is_refused() -> None:
    with pytest.raises(BodyTooLargeError, match="'name'"):
        await read(part("name", bytes(MAX_FIELD_BYTES + 1)) + END, Sink())


async def test_what_is_announced_to_be_too_large_is_not_read() -> None:
    async def receive() -> dict[str, Any]:
        raise AssertionError("the body was read")

    headers = [(b"content-type", b"multipart/form-data; boundary=x"), (b"content-length", b"99999999")]
    with pytest.raises(BodyTooLargeError):
        await read_form(Request({"type": "http", "headers": headers}, receive), Sink(), 10)


async def test_a_caller_that_goes_away_is_no_crash() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    headers = [(b"content-type", b"multipart/form-data; boundary=x")]
    with pytest.raises(BodyError, match="ended early"):
        await read_form(Request({"type": "http", "headers": headers}, receive), Sink(), 10)
