"""`text`: {"text": "…"}, trained on as it stands; no chat template is applied."""

from fettle_data.formats.format import Conversion, Example, Format, required_text
from fettle_data.rows import Values
from fettle_schema.dataset import DatasetFormat


def _convert(values: Values, conversion: Conversion) -> Example:
    return {"text": required_text(values, "text")}


FORMAT = Format(DatasetFormat.TEXT, required=("text",), optional=(), convert=_convert)
