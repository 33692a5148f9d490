"""Bytes → lines of text, in bounded memory, with the place of what is not text. It knows no file format."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from fettle_data.findings import Finding, FindingCode

MAX_ROW_BYTES = 16 * 1024 * 1024
"""Longest row that is read: about four million tokens of English."""

_BOM = b"\xef\xbb\xbf"
_UTF16_BOMS = (b"\xff\xfe", b"\xfe\xff")


@dataclass(frozen=True, slots=True)
class Line:
    """One line, with its line ending."""

    number: int
    text: str


def read_lines(stream: BinaryIO, name: str) -> Iterator[Line | Finding]:
    """The lines of a UTF-8 file, with or without a byte order mark; a line that is not text comes as a Finding."""
    offset = 0
    number = 0
    while raw := stream.readline(MAX_ROW_BYTES + 1):
        number += 1
        start = len(_BOM) if number == 1 and raw.startswith(_BOM) else 0
        if number == 1 and raw.startswith(_UTF16_BOMS):
            yield Finding(1, None, FindingCode.NOT_UTF8, "the file is UTF-16; UTF-8 is expected", f"{name} line 1")
            return
        yield _decode(raw[start:], number, offset + start, name)
        offset += len(raw)
        if len(raw) > MAX_ROW_BYTES and not raw.endswith(b"\n"):
            offset += _skip_line(stream)


def _decode(raw: bytes, number: int, offset: int, name: str) -> Line | Finding:
    place = f"{name} line {number}"
    if len(raw) > MAX_ROW_BYTES:
        message = f"the line is longer than {MAX_ROW_BYTES} bytes"
        return Finding(number, None, FindingCode.LINE_TOO_LONG, message, place)
    if b"\0" in raw:
        message = f"there is a NUL character at byte offset {offset + raw.index(0)} of the file"
        return Finding(number, None, FindingCode.NUL, message, place)
    try:
        return Line(number, raw.decode())
    except UnicodeDecodeError as error:
        message = f"the byte 0x{raw[error.start]:02x} at offset {offset + error.start} of the file is not UTF-8"
        return Finding(number, None, FindingCode.NOT_UTF8, message, place)


def _skip_line(stream: BinaryIO) -> int:
    """Read to the end of the line and return the number of bytes."""
    skipped = 0
    while raw := stream.readline(MAX_ROW_BYTES):
        skipped += len(raw)
        if raw.endswith(b"\n"):
            break
    return skipped
