"""Checks of message lists, for every format that holds some."""

import json
from collections.abc import Sequence

from fettle_data.findings import FindingCode, quote
from fettle_data.formats.format import Conversion, InvalidRowError, checked_text, required_text, type_name
from fettle_data.rows import Values

Message = dict[str, str]
"""`role` and `content`, and `reasoning_content` where that is kept."""

ROLES = ("system", "user", "assistant", "tool")
REASONING = ("reasoning_content", "reasoning")
"""Names of what the assistant thinks before an answer; the first is that of chat templates."""
_CALLS = ("tool_calls", "function_call")


def conversation(value: object, column: str, conversion: Conversion) -> list[Message]:
    """Messages with a role, a content and maybe reasoning; other keys of a message are left out."""
    items = message_list(value, column)
    return [_message(item, column, f"{column}[{index}]", conversion) for index, item in enumerate(items)]


def text_or_conversation(values: Values, column: str, conversion: Conversion) -> str | list[Message]:
    """A text or a message list, as TRL allows both in prompts and answers; an object may hold the list, as OpenAI's."""
    value = _messages_of_object(values[column], column, conversion)
    if isinstance(value, list):
        return conversation(value, column, conversion)
    if isinstance(value, str):
        return required_text(values, column)
    message = f"column {column!r} is {type_name(value)}; a string or a list of messages is expected"
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
    """A list that is not empty, or its JSON text, which is how a CSV file holds one."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = _parsed(value, column)
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


def _messages_of_object(value: object, column: str, conversion: Conversion) -> object:
    """The list of {"messages": […], "tools": …}; anything else as it is."""
    if not isinstance(value, dict) or not isinstance(value.get("messages"), list):
        return value
    for key in value:
        if key != "messages" and value[key]:
            conversion.ignore(f"{column}.{key}")
    return value["messages"]


def _parsed(text: str, column: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = f" at column {error.colno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else ""
        message = f"column {column!r} is a string that begins as a JSON list and is no valid JSON{reason}"
        raise InvalidRowError(FindingCode.BROKEN_JSON, column, message) from error


def _message(item: object, column: str, place: str, conversion: Conversion) -> Message:
    keys = item if isinstance(item, dict) else {}
    if call := next((key for key in _CALLS if keys.get(key)), None):
        message = f"{place} has {call!r}, which is not trained on; write the call into 'content' as text"
        raise InvalidRowError(FindingCode.WRONG_TYPE, column, message)
    role = message_text(item, "role", column, place)
    if role not in ROLES:
        message = f"{place}.role is {quote(role)}; {', '.join(ROLES)} are allowed"
        raise InvalidRowError(FindingCode.UNKNOWN_ROLE, column, message)
    content = message_text(item, "content", column, place)
    require_content(content, role, column, f"{place}.content")
    read = {"role": role, "content": content}
    if len(keys) > len(read):
        _read_other_keys(read, keys, column, place, conversion)
    return read


def _read_other_keys(
    message: Message, item: dict[str, object], column: str, place: str, conversion: Conversion
) -> None:
    for key, value in item.items():
        if value is None or key in ("role", "content"):
            continue
        if key in REASONING and conversion.keeps_reasoning and message["role"] == "assistant":
            message.setdefault(REASONING[0], checked_text(value, column, f"{place}.{key}"))
        else:
            conversion.ignore(f"{column}[].{key}")
