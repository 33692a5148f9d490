"""JSON text → rows: one object a line, or one list of objects. Strict: no NaN, no key twice, no half characters."""

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from fettle_data.findings import Finding, FindingCode, quote
from fettle_data.lines import MAX_ROW_BYTES, read_lines
from fettle_data.rows import Row

_CHUNK_BYTES = 64 * 1024
_SPACE = re.compile(r"[ \t\r\n]*")


def read_json_lines(stream: BinaryIO, name: str) -> Iterator[Row | Finding]:
    """One row for each line that is not blank."""
    for line in read_lines(stream, name):
        if isinstance(line, Finding):
            yield line
        elif text := line.text.strip(" \t\r\n"):
            yield parse_row(text, line.number, f"{name} line {line.number}")


def parse_row(text: str, number: int, place: str) -> Row | Finding:
    """The row that a JSON text holds."""
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        message = f"this is not valid JSON at column {error.colno}: {error.msg}"
        return Finding(number, None, FindingCode.BROKEN_JSON, message, place)
    except (ValueError, RecursionError) as error:
        return Finding(number, None, FindingCode.BROKEN_JSON, f"this is not valid JSON: {_reason(error)}", place)
    return _row(value, text, number, place)


def read_json_list(stream: BinaryIO, name: str) -> Iterator[Row | Finding]:
    """One row for each element of a list, read in pieces; nothing can be read after the first broken element."""
    return _ListReader(stream, name).rows()


class _ListReader:
    """A window over the text of a JSON list that grows only until it holds the next element."""

    def __init__(self, stream: BinaryIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._position = 0
        self._lines_before = 0
        self._column_before = 0
        self._bytes_read = 0
        self._is_at_end = False

    def rows(self) -> Iterator[Row | Finding]:
        number = 0
        try:
            self._take("[")
            if self._peek() == "]":
                self._take("]")
            else:
                while number == 0 or self._take(",]") == ",":
                    number += 1
                    value, text = self._element()
                    yield _row(value, text, number, f"{self._name} row {number}")
            if self._peek():
                raise json.JSONDecodeError("Extra data", self._text, self._position)
        except json.JSONDecodeError as error:
            message = f"this is not valid JSON at {self._where(error.pos)}: {error.msg}"
            yield Finding(number or None, None, FindingCode.BROKEN_JSON, message, self._name)
        except UnicodeDecodeError as error:
            offset = self._bytes_read - len(error.object) + error.start
            message = f"the byte 0x{error.object[error.start]:02x} at offset {offset} of the file is not UTF-8"
            yield Finding(number or None, None, FindingCode.NOT_UTF8, f"after row {number}, {message}", self._name)
        except (ValueError, RecursionError) as error:
            place = f"{self._name} row {number}"
            yield Finding(number, None, FindingCode.BROKEN_JSON, f"this is not valid JSON: {_reason(error)}", place)

    def _peek(self) -> str:
        """The next character that is not white space; empty at the end."""
        while True:
            space = _SPACE.match(self._text, self._position)
            self._position = space.end() if space else self._position
            if self._position < len(self._text) or self._is_at_end:
                return self._text[self._position : self._position + 1]
            self._grow()

    def _take(self, expected: str) -> str:
        found = self._peek()
        if not found or found not in expected:
            raise json.JSONDecodeError(f"Expecting {' or '.join(map(repr, expected))}", self._text, self._position)
        self._position += 1
        return found

    def _element(self) -> tuple[object, str]:
        self._peek()
        while True:
            try:
                value, end = _DECODER.raw_decode(self._text, self._position)
                if end < len(self._text) or self._is_at_end:
                    text = self._text[self._position : end]
                    self._position = end
                    return value, text
            except json.JSONDecodeError:
                if self._is_at_end:
                    raise
            if len(self._text) - self._position > MAX_ROW_BYTES:
                raise ValueError(f"it has no end within {MAX_ROW_BYTES} characters")
            self._grow()

    def _grow(self) -> None:
        """Drop what was read and at least double the rest, so that the work stays linear in the file's size."""
        done = self._text[: self._position]
        self._lines_before += done.count("\n")
        self._column_before = len(done) - done.rfind("\n") - 1 + (0 if "\n" in done else self._column_before)
        rest = self._text[self._position :]
        raw = self._stream.read(max(_CHUNK_BYTES, len(rest)))
        self._bytes_read += len(raw)
        self._is_at_end = not raw
        self._text = rest + self._decoder.decode(raw, final=self._is_at_end)
        self._position = 0

    def _where(self, position: int) -> str:
        before = self._text[:position]
        line = self._lines_before + before.count("\n") + 1
        column = len(before) - before.rfind("\n") + (0 if "\n" in before else self._column_before)
        return f"line {line}, column {column}"


def _row(value: object, text: str, number: int, place: str) -> Row | Finding:
    if not isinstance(value, dict):
        message = f"the row is {_json_type(value)}; a JSON object is expected"
        return Finding(number, None, FindingCode.NOT_AN_OBJECT, message, place)
    if "\\ud" in text.lower() and not _is_encodable(value):
        message = "a \\u escape is one half of a surrogate pair, which is not a character"
        return Finding(number, None, FindingCode.BROKEN_JSON, message, place)
    return Row(number, place, value)


def _is_encodable(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _json_type(value: object) -> str:
    if value is None or isinstance(value, bool):
        return "null" if value is None else "a boolean"
    return "a list" if isinstance(value, list) else "a string" if isinstance(value, str) else "a number"


def _reason(error: ValueError | RecursionError) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else str(error).split(":", 1)[0]


def _object_of_pairs(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {quote(twice)} occurs twice in an object")
    return value


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not a JSON value")


_DECODER = json.JSONDecoder(object_pairs_hook=_object_of_pairs, parse_constant=_refuse_constant)
