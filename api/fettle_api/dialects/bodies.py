"""What request bodies of all dialects have in common: a base that is lenient about nulls, and checks of fields."""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator


class RequestBody(BaseModel):
    """`null` is the default, unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True, frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _null_is_default(cls, value: Any) -> Any:
        return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


def printable(text: str) -> str:
    """A text without NUL."""
    if "\0" in text:
        raise ValueError("must not contain NUL")
    return text


def no_boolean(value: object) -> object:
    """JSON's true is not 1."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


def no_parent(path: str) -> str:
    """A path that never goes up."""
    if ".." in path:
        raise ValueError("must not contain '..'")
    return path
