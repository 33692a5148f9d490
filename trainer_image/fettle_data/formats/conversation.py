"""Checks of message lists, for every format that holds some."""

from collections.abc import Sequence

from fettle_data.findings import FindingCode, quote
from fettle_data.formats.format import InvalidRowError, checked_text, required_text, type_name
from fettle_data.rows import Values

Message = dict[str, str]
"""`role` and `content`."""

ROLES = ("system", "user", "assistant", "tool")
_CALLS = ("tool_calls", "function_call")


def conversation(value: object, column: str, ignored: set[str]) -> list[Message]:
    """Messages with a role and a content; other keys of a message are left out and added to `ignored`."""
    return [
        _message(item, column, f"{column}[{index}]", ignored) for index, item in enumerate(message_list(value, column))
    ]


def text_or_conversation(values: Values, column: str, ignored: set[str]) -> str | list[Message]:
    """A text or a message list, as TRL allows both in prompts and answers."""
    if isinstance(values[column], list):
        return conversation(values[column], column, ignored)
    if isinstance(values[column], str):
        return required_text(values, column)
    message = f"column {column!r} is {type_name(values[column])}; a string or a list of messages is expected"
    raise InvalidRowError(FindingCode.WRONG_TYPE, column, message)


def require_same_kind(example: dict[str, str | list[Message]]) -> None:
    """TRL reads either texts or conversations, never one of each."""
    if len({isinstance(value, str) for value in example.values()}) > 1:
        kinds = ", ".join(f"{column!r} is {type_name(value)}" for column, value in example.items())
        message = f"{kinds}; strings in all of them or lists of messages in all of them are expected"
        raise InvalidRowError(FindingCode.MIXED_SHAPES, next(iter(example)), message)


def require_answer(answer: str | Sequence[Message], column: str) -> None:
    """A conversation that is trained on needs a turn of the assistant; a text is its answer as a whole."""
    if not isinstance(answer, str) and all(message["role"] != "assistant" for message in answer):
        message = f"column {column!r} has no message of the role 'assistant'; one at least is expected"
        raise InvalidRowError(FindingCode.NO_ASSISTANT_TURN, column, message)


def message_list(value: object, column: str) -> list[object]:
    """A list that is not empty."""
    if not isinstance(value, list):
        message = f"column {column!r} is {type_name(value)}; a list of messages is expected"
        raise InvalidRowError(FindingCode.WRONG_TYPE, column, message)
    if not value:
        message = f"column {column!r} is an empty list; messages are expected"
        raise InvalidRowError(FindingCode.EMPTY_CONTENT, column, message)
    return value


def message_text(item: object, key: str, column: str, place: str) -> str:
    """A string of a message object."""
    if not isinstance(item, dict):
        message = f"{place} is {type_name(item)}; an object is expected"
        raise InvalidRowError(FindingCode.WRONG_TYPE, column, message)
    if key not in item:
        keys = ", ".join(quote(str(name)) for name in list(item)[:8])
        message = f"{place} has no {key!r}; it has {keys or 'no keys'}"
        raise InvalidRowError(FindingCode.MISSING_COLUMN, column, message)
    return checked_text(item[key], column, f"{place}.{key}")


def require_content(content: str, role: str, column: str, place: str) -> None:
    """Only a tool may answer with nothing."""
    if role != "tool" and not content.strip():
        raise InvalidRowError(FindingCode.EMPTY_CONTENT, column, f"{place} is empty; a text is expected")


def _message(item: object, column: str, place: str, ignored: set[str]) -> Message:
    if isinstance(item, dict):
        _check_other_keys(item, column, place, ignored)
    role = message_text(item, "role", column, place)
    if role not in ROLES:
        message = f"{place}.role is {quote(role)}; {', '.join(ROLES)} are allowed"
        raise InvalidRowError(FindingCode.UNKNOWN_ROLE, column, message)
    content = message_text(item, "content", column, place)
    require_content(content, role, column, f"{place}.content")
    return {"role": role, "content": content}


def _check_other_keys(item: dict[str, object], column: str, place: str, ignored: set[str]) -> None:
    if len(item) == 2 and "role" in item and "content" in item:
        return
    for key, value in item.items():
        if key in _CALLS and value:
            message = f"{place} has {key!r}, which is not trained on; write the call into 'content' as text"
            raise InvalidRowError(FindingCode.WRONG_TYPE, column, message)
        if value is not None and key not in ("role", "content"):
            ignored.add(f"{column}[].{key}")
