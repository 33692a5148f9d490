"""`prompt-completion`: {"prompt": "…", "completion": "…"}, both texts or both lists of messages.

Where a chat template is named, texts become turns, with `system` before them. `reasoning` goes into the answer.
"""

from fettle_data.formats.conversation import require_answer, require_same_kind, text_or_conversation
from fettle_data.formats.format import Conversion, Example, Format
from fettle_data.formats.turns import TURN_COLUMNS, add_reasoning, in_turns
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat


def _convert(values: Values, conversion: Conversion) -> Example:
    example = {column: text_or_conversation(values, column, conversion) for column in ("prompt", "completion")}
    require_same_kind(example)
    require_answer(example["completion"], "completion")
    example = in_turns(example, values, conversion)
    add_reasoning(example["completion"], values, conversion)
    return dict(example)


FORMAT = Format(
    DatasetFormat.PROMPT_COMPLETION, required=("prompt", "completion"), optional=TURN_COLUMNS, convert=_convert
)
