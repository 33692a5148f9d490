"""`messages`: a conversation, {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", …}]}."""

from fettle_data.formats.conversation import conversation, require_answer
from fettle_data.formats.format import Conversion, Example, Format
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat


def _convert(values: Values, conversion: Conversion) -> Example:
    messages = conversation(values["messages"], "messages", conversion)
    require_answer(messages, "messages")
    return {"messages": messages}


FORMAT = Format(DatasetFormat.MESSAGES, required=("messages",), optional=(), convert=_convert)
