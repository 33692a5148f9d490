"""`unpaired-preference`: an answer to a prompt, and whether it is a good one: {"prompt", "completion", "label"}.

Where a chat template is named, texts become turns, with `system` before them.
"""

from fettle_data.findings import FindingCode
from fettle_data.formats.conversation import require_answer, require_same_kind, text_or_conversation
from fettle_data.formats.format import Conversion, Example, Format, InvalidRowError, type_name
from fettle_data.formats.turns import in_turns
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat

_LABELS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
"""How files without types write them."""


def _convert(values: Values, conversion: Conversion) -> Example:
    example = {column: text_or_conversation(values, column, conversion) for column in ("prompt", "completion")}
    require_same_kind(example)
    require_answer(example["completion"], "completion")
    label = values["label"]
    if isinstance(label, str):
        label = _LABELS.get(label, label)
    if not isinstance(label, bool):
        message = f"column 'label' is {type_name(label)}; true or false is expected"
        raise InvalidRowError(FindingCode.WRONG_TYPE, "label", message)
    return {**in_turns(example, values, conversion), "label": label}


FORMAT = Format(
    DatasetFormat.UNPAIRED_PREFERENCE,
    required=("prompt", "completion", "label"),
    optional=("system",),
    convert=_convert,
)
