"""The first rows of a dataset, for people to look at: as they are, and as the text that is trained on.

Never reads further than asked, never raises for a row: what is wrong with one is a finding beside the others.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from fettle_data.chat_template import ApplyTemplate, ChatTemplate
from fettle_data.checking import Checker, check_columns
from fettle_data.findings import DatasetError, Finding, FindingCode, Findings
from fettle_data.formats import detect
from fettle_data.formats.format import Example
from fettle_data.prepare import conversion_of
from fettle_data.rendering import Piece, SettingError, render
from fettle_data.rows import Row, Rows, Values
from fettle_data.source import open_rows
from fettle_data.templates import Answer, template_text
from fettle_schema.dataset import DatasetFormat, DatasetSource, DatasetSpec
from fettle_schema.training_job import Method

_END_TOKEN = "eos_token"  # noqa: S105 # its name in templates


@dataclass(frozen=True)
class Preview:
    """The first rows."""

    columns: list[str]
    """In the order in which they first occur."""
    rows: list[Values]
    """JSON values; bytes are shown by their number."""
    formats: list[DatasetFormat]
    """What the first row can be, best first; empty if nothing fits."""
    findings: list[Finding]
    """Rows among the first that could not be read."""


@dataclass(frozen=True)
class FormattedExample:
    """One example as it is trained on."""

    row: int
    """Number of its row, as in findings."""
    texts: dict[str, list[Piece]]
    """`text`, or `chosen` and `rejected` → the whole text in pieces that carry loss or do not."""
    label: bool | None = None
    """Whether the text is a good answer, for examples that say so."""


@dataclass(frozen=True)
class FormattedPreview:
    """The first examples as they are trained on."""

    format: DatasetFormat | None
    """What the rows are; None if no row could be read."""
    examples: list[FormattedExample] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    """Rows that cannot be used, and examples that the template refuses."""


def preview(source: DatasetSource, workspace: Path, limit: int) -> Preview:
    """The first `limit` rows. Raises DatasetError if the dataset cannot be opened."""
    first = list(islice(open_rows(source, workspace), limit))
    rows = [row.values for row in first if not isinstance(row, Finding)]
    columns = list(dict.fromkeys(column for row in rows for column in row))
    present = [column for column, value in rows[0].items() if value is not None] if rows else []
    return Preview(
        columns=columns,
        rows=[{column: _json_value(value) for column, value in row.items()} for row in rows],
        formats=[one.name for one in detect(present)],
        findings=[row for row in first if isinstance(row, Finding)],
    )


def preview_formatted(
    dataset: DatasetSpec,
    method: Method,
    workspace: Path,
    limit: int,
    model: ChatTemplate | None = None,
    assistant_only: bool | None = None,
) -> FormattedPreview:
    """The first `limit` rows as texts, with the loss that they carry; rows are neither shuffled nor split.

    `model` is the base model's template with its special tokens (`load_chat_template`), with an empty text if it has
    none; without one the template `tokenizer` cannot be shown, and an example that needs it becomes a finding. Raises
    DatasetError if the dataset cannot be opened or is of no format that the method uses.
    """
    check_columns(dataset.columns)
    source = open_rows(dataset.source, workspace)
    rows = Rows(source.name, lambda: islice(source, limit))
    findings = Findings()
    conversion = conversion_of(dataset, model.text if model else None)
    checker = Checker(rows, dataset.columns, conversion, findings)
    formatting = _Formatting(dataset, model, assistant_only)
    examples: list[FormattedExample] = []
    for row, example in _examples(checker, dataset.format, method):
        try:
            texts, label = formatting.format(example)
            examples.append(FormattedExample(row.number, texts, label))
        except (DatasetError, SettingError) as error:
            code = error.code if isinstance(error, DatasetError) else FindingCode.WRONG_FORMAT
            findings.add(Finding(row.number, None, FindingCode(code), str(error), row.place))
    return FormattedPreview(checker.format.name if checker.format else None, examples, findings.listed)


def _examples(checker: Checker, form: DatasetFormat, method: Method) -> Iterator[tuple[Row, Example]]:
    """Examples with their rows; that few rows lack a column, or that there are none, is no error of a preview."""
    try:
        for example in checker.examples(form, method):
            assert checker.row is not None
            yield checker.row, example
    except DatasetError as error:
        if error.code not in (FindingCode.EMPTY_DATASET, FindingCode.WRONG_COLUMNS):
            raise


class _Formatting:
    """Templates and tokens of one preview."""

    def __init__(self, dataset: DatasetSpec, model: ChatTemplate | None, assistant_only: bool | None) -> None:
        self._model = model or ChatTemplate("", {})
        self._end_token = self._model.special_tokens.get(_END_TOKEN, "")
        self._assistant_only = assistant_only
        self._templates: dict[Answer, ApplyTemplate] = {
            "chosen": self._template(dataset, "chosen", is_known=bool(self._model.text)),
            "rejected": self._template(dataset, "rejected", is_known=bool(self._model.text)),
        }

    def format(self, example: Example) -> tuple[dict[str, list[Piece]], bool | None]:
        """The texts of an example, and its label."""
        if "chosen" in example:
            halves = {
                answer: {"prompt": example["prompt"], "completion": example[answer]} for answer in self._templates
            }
            return {answer: self._pieces(half, answer) for answer, half in halves.items()}, None
        label = example["label"] is True if "label" in example else None
        return {"text": self._pieces(example, "rejected" if label is False else "chosen")}, label

    def _pieces(self, example: Mapping[str, object], template: Answer) -> list[Piece]:
        return render(example, self._templates[template], self._end_token, self._assistant_only).pieces()

    def _template(self, dataset: DatasetSpec, answer: Answer, *, is_known: bool) -> ApplyTemplate:
        text = template_text(dataset.template, answer)
        if text is not None:
            return self._model.with_text(text)
        return self._model if is_known else _refuse


def _refuse(*_arguments: object, **_options: object) -> str:
    message = "the base model's own chat template is not known here, so this text cannot be shown"
    raise DatasetError(FindingCode.TEMPLATE_REFUSED, message)


def _json_value(value: object) -> object:
    match value:
        case bytes():
            return f"({len(value)} bytes)"
        case float():
            return value if math.isfinite(value) else str(value)
        case list() | tuple():
            return [_json_value(item) for item in value]
        case dict():
            return {str(key): _json_value(item) for key, item in value.items()}
        case str() | bool() | int() | None:
            return value
    return f"({type(value).__name__})"
