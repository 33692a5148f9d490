"""`preference`: a chosen and a rejected answer to a prompt; without `prompt`, both answers begin with it."""

from fettle_data.findings import FindingCode
from fettle_data.formats.conversation import require_answer, require_same_kind, text_or_conversation
from fettle_data.formats.format import Example, Format, InvalidRowError
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat


def _convert(values: Values, ignored: set[str]) -> Example:
    columns = [column for column in ("prompt", "chosen", "rejected") if values.get(column) is not None]
    example = {column: text_or_conversation(values, column, ignored) for column in columns}
    require_same_kind(example)
    require_answer(example["chosen"], "chosen")
    require_answer(example["rejected"], "rejected")
    if example["chosen"] == example["rejected"]:
        raise InvalidRowError(FindingCode.SAME_ANSWERS, "rejected", "'chosen' and 'rejected' are the same")
    return dict(example)


FORMAT = Format(DatasetFormat.PREFERENCE, required=("chosen", "rejected"), optional=("prompt",), convert=_convert)
