"""multipart/form-data: the file goes to a sink as it arrives, other fields are kept. Opens no path."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from fettle_api.errors import BodyError, BodyTooLargeError
from fettle_api.web.body import read_stream

MAX_FIELD_BYTES = 64 * 1024
_MAX_PARTS = 32
_OVERHEAD_BYTES = 1024 * 1024
"""What fields, boundaries and headers may add to the file."""


class FileSink(Protocol):
    """Takes the file of a form."""

    async def open(self, file_name: str) -> None:
        """Before its first byte. May refuse the name."""
        ...

    async def write(self, content: bytes) -> None:
        """The next bytes."""
        ...


@dataclass
class Form:
    """What came beside the file."""

    fields: dict[str, str] = field(default_factory=dict)
    file_name: str | None = None
    """None if there was no file."""


async def read_form(request: Request, sink: FileSink, max_file_bytes: int, file_field: str = "file") -> Form:
    """Read the whole form. Raises BodyError, BodyTooLargeError, and what the sink raises."""
    parser = _FormParser(_boundary(request), file_field)
    form, size_bytes = Form(), 0
    async for part, content in _parts(parser, read_stream(request, max_file_bytes + _OVERHEAD_BYTES)):
        if not part.is_file:
            form.fields[part.name] = _text(part.name, bytes(part.content))
            continue
        if form.file_name is None:
            form.file_name = part.file_name
            await sink.open(part.file_name)
        size_bytes += len(content)
        if size_bytes > max_file_bytes:
            raise BodyTooLargeError(f"the file is larger than {max_file_bytes} bytes")
        if content:
            await sink.write(content)
    return form


@dataclass
class _Part:
    name: str = ""
    file_name: str = ""
    is_file: bool = False
    content: bytearray = field(default_factory=bytearray)
    disposition: bytearray = field(default_factory=bytearray)


async def _parts(parser: "_FormParser", stream: AsyncIterator[bytes]) -> AsyncIterator[tuple[_Part, bytes]]:
    """Pieces of the file as they come, and each other field when it is complete."""
    async for chunk in stream:
        try:
            parser.write(chunk)
        except FormParserError as error:
            raise BodyError(f"the form cannot be read: {error}") from error
        for found in parser.taken():
            yield found
    if not parser.is_complete:
        raise BodyError("the form ends before its last boundary")


class _FormParser:
    """Collects what the parser calls back with."""

    def __init__(self, boundary: bytes, file_field: str) -> None:
        self.is_complete = False
        self._file_field = file_field
        self._found: list[tuple[_Part, bytes]] = []
        self._part, self._header, self._count, self._has_file = _Part(), bytearray(), 0, False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": self._header_field,
                "on_header_value": self._header_value,
                "on_header_end": self._header.clear,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_part_end": self._end,
                "on_end": self._complete,
            },
        )

    def write(self, chunk: bytes) -> None:
        """Raises FormParserError, BodyError."""
        self._parser.write(chunk)

    def taken(self) -> list[tuple[_Part, bytes]]:
        """What was found since the last call."""
        found, self._found = self._found, []
        return found

    def _begin(self) -> None:
        self._part, self._count = _Part(), self._count + 1
        if self._count > _MAX_PARTS:
            raise BodyError(f"the form has more than {_MAX_PARTS} parts")

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        if self._header.lower() == b"content-disposition":
            self._part.disposition += data[start:end]

    def _headers_finished(self) -> None:
        _, options = parse_options_header(bytes(self._part.disposition))
        part = self._part
        part.name = _text("name", options.get(b"name", b""))
        part.is_file = part.name == self._file_field and b"filename" in options
        if part.is_file:
            if self._has_file:
                raise BodyError(f"the form has more than one {self._file_field!r}")
            self._has_file = True
            part.file_name = _text("filename", options[b"filename"])
            self._found.append((part, b""))

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.is_file:
            self._found.append((self._part, data[start:end]))
            return
        self._part.content += data[start:end]
        if len(self._part.content) > MAX_FIELD_BYTES:
            raise BodyTooLargeError(f"field {self._part.name[:64]!r} is larger than {MAX_FIELD_BYTES} bytes")

    def _end(self) -> None:
        if not self._part.is_file:
            self._found.append((self._part, b""))

    def _complete(self) -> None:
        self.is_complete = True


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not 0 < len(boundary) <= 200:
        raise BodyError("expected multipart/form-data with a boundary")
    return boundary


def _text(name: str, value: bytes) -> str:
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise BodyError(f"{name[:64]!r} is not UTF-8") from error
    if "\0" in text:
        raise BodyError(f"{name[:64]!r} holds a NUL character")
    return text
