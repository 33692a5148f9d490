"""`sharegpt`: {"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", …}]}, and maybe `system`."""

from fettle_data.findings import FindingCode, quote
from fettle_data.formats.conversation import (
    Message,
    message_list,
    message_text,
    require_answer,
    require_content,
)
from fettle_data.formats.format import Conversion, Example, Format, InvalidRowError, optional_text
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat

_ROLES = {
    "system": "system",
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "tool": "tool",
    "observation": "tool",
}
_COLUMN = "conversations"


def _convert(values: Values, conversion: Conversion) -> Example:
    items = message_list(values[_COLUMN], _COLUMN)
    messages = [_message(item, f"{_COLUMN}[{index}]", conversion) for index, item in enumerate(items)]
    require_answer(messages, _COLUMN)
    system = optional_text(values, "system")
    if system.strip():
        messages.insert(0, {"role": "system", "content": system})
    return {"messages": messages}


def _message(item: object, place: str, conversion: Conversion) -> Message:
    speaker = message_text(item, "from", _COLUMN, place)
    if speaker not in _ROLES:
        message = f"{place}.from is {quote(speaker)}; {', '.join(_ROLES)} are allowed"
        raise InvalidRowError(FindingCode.UNKNOWN_ROLE, _COLUMN, message)
    content = message_text(item, "value", _COLUMN, place)
    require_content(content, _ROLES[speaker], _COLUMN, f"{place}.value")
    if isinstance(item, dict) and len(item) > 2:
        for key in (key for key, value in item.items() if value is not None and key not in ("from", "value")):
            conversion.ignore(f"{_COLUMN}[].{key}")
    return {"role": _ROLES[speaker], "content": content}


FORMAT = Format(DatasetFormat.SHAREGPT, required=(_COLUMN,), optional=("system",), convert=_convert)
