"""What a format is, and the checks of single values that formats share. No format is named here."""

from collections.abc import Callable
from dataclasses import dataclass, field

from fettle_data.findings import FindingCode
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat

Example = dict[str, object]
"""One example in TRL's shape: plain strings, booleans and lists of messages."""

_MAX_IGNORED = 1000


@dataclass
class Conversion:
    """How rows become examples, and what was left out of them."""

    wraps_texts: bool = False
    """Prompts and answers that are texts become messages, so that a chat template is applied to them."""
    keeps_reasoning: bool = False
    """`reasoning_content` of the assistant's messages is kept."""
    ignored: set[str] = field(default_factory=set)
    """Columns, and keys of messages, that were not used; the first thousand."""

    def ignore(self, name: str) -> None:
        if len(self.ignored) < _MAX_IGNORED:
            self.ignored.add(name)


@dataclass(frozen=True)
class Format:
    """A kind of rows."""

    name: DatasetFormat
    required: tuple[str, ...]
    """Columns without which a row is not of this format."""
    optional: tuple[str, ...]
    convert: Callable[[Values, Conversion], Example]
    """Row → example. Raises InvalidRowError. Tells the conversion which optional columns and keys it left out."""


class InvalidRowError(Exception):
    """A row cannot become an example. `prepare` turns it into a Finding."""

    def __init__(self, code: FindingCode, column: str, message: str) -> None:
        self.code = code
        self.column = column
        super().__init__(message)


def required_text(values: Values, column: str) -> str:
    """A text that may not be empty or blank."""
    value = checked_text(values[column], column, f"column {column!r}")
    if not value.strip():
        raise InvalidRowError(FindingCode.EMPTY_CONTENT, column, f"column {column!r} is empty; a text is expected")
    return value


def optional_text(values: Values, column: str) -> str:
    """A text, empty if the column is absent or null."""
    value = values.get(column)
    return "" if value is None else checked_text(value, column, f"column {column!r}")


def checked_text(value: object, column: str, place: str) -> str:
    """A string without NUL; `place` names it in messages."""
    if not isinstance(value, str):
        raise InvalidRowError(FindingCode.WRONG_TYPE, column, f"{place} is {type_name(value)}; a string is expected")
    if "\0" in value:
        raise InvalidRowError(FindingCode.NUL, column, f"{place} holds a NUL character")
    return value


def type_name(value: object) -> str:
    """The type of a value in JSON's words."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
        case dict():
            return "an object"
    return f"of type {type(value).__name__}"
