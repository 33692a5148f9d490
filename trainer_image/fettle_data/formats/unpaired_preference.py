"""`unpaired-preference`: an answer to a prompt, and whether it is a good one: {"prompt", "completion", "label"}."""

from fettle_data.findings import FindingCode
from fettle_data.formats.conversation import require_answer, require_same_kind, text_or_conversation
from fettle_data.formats.format import Example, Format, InvalidRowError, type_name
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat


def _convert(values: Values, ignored: set[str]) -> Example:
    example = {column: text_or_conversation(values, column, ignored) for column in ("prompt", "completion")}
    require_same_kind(example)
    require_answer(example["completion"], "completion")
    label = values["label"]
    if not isinstance(label, bool):
        message = f"column 'label' is {type_name(label)}; true or false is expected"
        raise InvalidRowError(FindingCode.WRONG_TYPE, "label", message)
    return {**example, "label": label}


FORMAT = Format(
    DatasetFormat.UNPAIRED_PREFERENCE, required=("prompt", "completion", "label"), optional=(), convert=_convert
)
