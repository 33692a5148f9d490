"""`messages`: a conversation, {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", …}]}."""

from fettle_data.formats.conversation import conversation, require_answer
from fettle_data.formats.format import Example, Format
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat


def _convert(values: Values, ignored: set[str]) -> Example:
    messages = conversation(values["messages"], "messages", ignored)
    require_answer(messages, "messages")
    return {"messages": messages}


FORMAT = Format(DatasetFormat.MESSAGES, required=("messages",), optional=(), convert=_convert)
