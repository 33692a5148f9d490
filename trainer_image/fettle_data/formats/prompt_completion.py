"""`prompt-completion`: {"prompt": "…", "completion": "…"}, both texts or both lists of messages."""

from fettle_data.formats.conversation import require_answer, require_same_kind, text_or_conversation
from fettle_data.formats.format import Example, Format
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat


def _convert(values: Values, ignored: set[str]) -> Example:
    example = {column: text_or_conversation(values, column, ignored) for column in ("prompt", "completion")}
    require_same_kind(example)
    require_answer(example["completion"], "completion")
    return dict(example)


FORMAT = Format(DatasetFormat.PROMPT_COMPLETION, required=("prompt", "completion"), optional=(), convert=_convert)
