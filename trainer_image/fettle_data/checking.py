"""Rows → examples of one format: renames columns, finds the format out, and turns what does not fit into findings."""

from collections.abc import Collection, Iterator, Mapping

from fettle_data.findings import DatasetError, Finding, FindingCode, Findings, name_list, quote
from fettle_data.formats import FORMATS, KNOWN_COLUMNS, METHOD_FORMATS, detect
from fettle_data.formats.format import Conversion, Example, Format, InvalidRowError
from fettle_data.rows import Row, Rows, Values
from fettle_schema.dataset import DatasetFormat
from fettle_schema.training_job import Method


def check_columns(columns: Mapping[str, str]) -> None:
    """Refuse a renaming that no format can use."""
    for column, name in columns.items():
        if name not in KNOWN_COLUMNS:
            message = (
                f"spec.dataset.columns: {quote(column)} becomes {quote(name)}, which no format expects; "
                f"the names are {', '.join(sorted(KNOWN_COLUMNS))}"
            )
            raise DatasetError(FindingCode.WRONG_COLUMNS, message)
    names = list(columns.values())
    if twice := {name for name in names if names.count(name) > 1}:
        message = f"spec.dataset.columns: several columns become {name_list(sorted(twice))}"
        raise DatasetError(FindingCode.WRONG_COLUMNS, message)


class Checker:
    """Reads a dataset once, row by row, and keeps what is known about it afterwards."""

    def __init__(self, rows: Rows, columns: Mapping[str, str], conversion: Conversion, findings: Findings) -> None:
        self.row_count = 0
        self.format: Format | None = None
        self.row: Row | None = None
        """That of the example that came last."""
        self._rows = rows
        self._columns = columns
        self._conversion = conversion
        self._unseen = set(columns)
        self._findings = findings
        self._shape: tuple[tuple[str, type], ...] | None = None

    def examples(self, wanted: DatasetFormat, method: Method) -> Iterator[Example]:
        """The examples; findings go to the collector. Raises DatasetError if there is no row or no usable format."""
        for row in self._rows:
            self.row_count += 1
            if isinstance(row, Finding):
                self._findings.add(row)
                continue
            values = self._rename(row.values)
            if self.format is None:
                self.format = _choose_format(wanted, method, values, self._rows.name, row.place)
            example = self._convert(row, values, self.format)
            if example is not None:
                self.row = row
                yield example
        if self.row_count == 0:
            raise DatasetError(FindingCode.EMPTY_DATASET, f"{self._rows.name}: there are no rows")
        if self._unseen and not self._findings:
            message = (
                f"spec.dataset.columns: no row of {self._rows.name} has the columns {name_list(sorted(self._unseen))}"
            )
            raise DatasetError(FindingCode.WRONG_COLUMNS, message)

    def _rename(self, values: Values) -> Values:
        """Columns under the names that the format expects, without null values."""
        present = {column: value for column, value in values.items() if value is not None}
        if not self._columns:
            return present
        self._unseen.difference_update(values)
        renamed = {column: value for column, value in present.items() if column not in self._columns}
        for column, name in self._columns.items():
            if column in present:
                renamed[name] = present[column]
            elif name in values:
                self._unseen.discard(column)
        return renamed

    def _convert(self, row: Row, values: Values, form: Format) -> Example | None:
        try:
            _require_columns(values, row.values, form)
            example = form.convert(values, self._conversion)
            self._require_shape(example)
        except InvalidRowError as error:
            self._findings.add(Finding(row.number, error.column, error.code, str(error), row.place))
            return None
        if len(values) > len(form.required):
            for column in values.keys() - {*form.required, *form.optional}:
                self._conversion.ignore(column)
        return example

    def _require_shape(self, example: Example) -> None:
        """TRL tells from the first example whether all of them are texts or conversations."""
        shape = tuple((column, type(value)) for column, value in example.items())
        if self._shape is None:
            self._shape = shape
        if shape != self._shape:
            message = f"the row has {_shown(shape)}; the rows before have {_shown(self._shape)}"
            raise InvalidRowError(FindingCode.MIXED_SHAPES, shape[0][0], message)


def _choose_format(wanted: DatasetFormat, method: Method, columns: Collection[str], name: str, place: str) -> Format:
    allowed = METHOD_FORMATS[method]
    fitting = detect(columns) if wanted is DatasetFormat.AUTO else [FORMATS[wanted]]
    if not fitting:
        formats = "; ".join(f"{one.name}: {', '.join(one.required)}" for one in FORMATS.values() if one.name in allowed)
        message = (
            f"{place}: the columns {name_list(columns)} fit no format; method {str(method)!r} trains on the columns "
            f"of one of these: {formats}"
        )
        raise DatasetError(FindingCode.UNKNOWN_FORMAT, message)
    for one in fitting:
        if one.name in allowed:
            return one
    names = ", ".join(str(one.name) for one in FORMATS.values() if one.name in allowed) or "no dataset"
    message = (
        f"spec.dataset.format: {name} has the format {str(fitting[0].name)!r}, "
        f"but method {str(method)!r} trains on {names}"
    )
    methods = ", ".join(one for one, formats in METHOD_FORMATS.items() if fitting[0].name in formats)
    raise DatasetError(
        FindingCode.WRONG_FORMAT, message, f"Use one of the methods {methods}, or a dataset in another format."
    )


def _require_columns(values: Values, row: Values, form: Format) -> None:
    for column in form.required:
        if column not in values:
            state = "is null" if row.get(column, "") is None else "is missing"
            message = (
                f"column {column!r} {state}; the row has {name_list(row)}, "
                f"and format {str(form.name)!r} expects {name_list(form.required)}"
            )
            raise InvalidRowError(FindingCode.MISSING_COLUMN, column, message)


def _shown(shape: tuple[tuple[str, type], ...]) -> str:
    words = {str: "text", list: "messages", bool: "boolean"}
    return ", ".join(f"{column} ({words.get(kind, kind.__name__)})" for column, kind in shape)
