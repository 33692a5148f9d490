"""A dataset as the trainer uses it: every row checked, examples chosen, shuffled and split, with digest and counts.

Chat templates are not applied here: the trainer does that, with the tokenizer. What it gets are examples in TRL's
shapes: {"messages"}, {"prompt", "completion"}, {"text"}, {"prompt", "chosen", "rejected"}, and {"prompt",
"completion", "label"}. With the template `tokenizer`, prompts and answers that are texts stay texts; a template that
is named applies to them too, so they become messages. Examples are kept in a file, not in memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fettle_data.checking import Checker, check_columns
from fettle_data.findings import DatasetError, Finding, FindingCode, Findings, name_list
from fettle_data.formats.format import Conversion, Example
from fettle_data.pairs import LabelledPairs
from fettle_data.source import open_rows
from fettle_data.split import choose, hold_out, measure
from fettle_data.spool import Spool
from fettle_data.templates import check_template, keeps_reasoning
from fettle_schema.dataset import DatasetFormat, DatasetSource, DatasetSpec
from fettle_schema.training_job import Method

_SOURCE = "spec.dataset.source"
_EVALUATION_SOURCE = "spec.dataset.evaluation.source"


@dataclass(frozen=True)
class Statistics:
    """Counts."""

    row_count: int
    """Rows read, evaluation source included."""
    train_count: int
    evaluation_count: int
    duplicate_count: int
    """Examples that occurred before, in either part."""
    character_count: int
    """Of the training examples as JSON."""
    longest_character_count: int
    """The longest training example."""

    def to_json(self) -> dict[str, int]:
        return asdict(self)


@dataclass(frozen=True)
class PreparedDataset:
    """What is trained on, and measured with."""

    train: Sequence[Example]
    """Read from a file as they are asked for, as are those of `evaluation`."""
    evaluation: Sequence[Example]
    format: DatasetFormat
    """What the rows were; never `auto`."""
    digest: str
    """`sha256:<hex>` of the examples, in order, and of their split."""
    statistics: Statistics
    findings: Findings
    """What is worth knowing and is no error."""


def prepare(
    dataset: DatasetSpec,
    method: Method,
    seed: int,
    workspace: Path,
    report: Callable[[Finding], None] | None = None,
    *,
    own_template: str | None = None,
    scratch: Path | None = None,
) -> PreparedDataset:
    """Read and check the whole dataset. The same arguments and files give the same examples in the same order.

    `maxExamples` limits the source before it is split; an evaluation source is used whole, in its own order, and
    must have the same format. For kto each pair of a preference dataset becomes two examples, after the split. Raises
    DatasetError if any row, used or not, is invalid; `report` receives each finding, of which the error lists the
    first 20. `own_template` is the model's chat template, which decides whether reasoning is kept where no template
    is named. `scratch` is the directory for the file of examples, which has no name and vanishes by itself; the
    system's directory for temporary files if None.
    """
    check_columns(dataset.columns)
    check_template(dataset.template)
    reading = _Reading(dataset, method, workspace, report, own_template, scratch)
    examples = reading.read(dataset.source, _SOURCE, seed, dataset.shuffle, dataset.max_examples)
    train = examples
    evaluation: Sequence[Example] = []
    if dataset.evaluation is not None and dataset.evaluation.source is not None:
        evaluation = reading.read(dataset.evaluation.source, _EVALUATION_SOURCE, seed, shuffle=False, limit=None)
    elif dataset.evaluation is not None and dataset.evaluation.fraction:
        train, evaluation = hold_out(examples, dataset.evaluation.fraction, seed)
    if method is Method.KTO and reading.format is DatasetFormat.PREFERENCE:
        train, evaluation = LabelledPairs(train), LabelledPairs(evaluation)
    measured = measure(train, evaluation)
    statistics = Statistics(
        row_count=reading.row_count,
        train_count=len(train),
        evaluation_count=len(evaluation),
        duplicate_count=measured.duplicate_count,
        character_count=measured.train_character_count,
        longest_character_count=measured.longest_train_character_count,
    )
    notes = Findings(report)
    _add_notes(notes, dataset, reading.conversion.ignored, statistics)
    return PreparedDataset(train, evaluation, reading.format, measured.digest, statistics, notes)


def conversion_of(dataset: DatasetSpec, own_template: str | None = None) -> Conversion:
    """What the dataset's template means for its rows."""
    return Conversion(
        wraps_texts=dataset.template.name != "tokenizer",
        keeps_reasoning=keeps_reasoning(dataset.template, own_template),
    )


class _Reading:
    """What the sources of one dataset have in common."""

    def __init__(
        self,
        dataset: DatasetSpec,
        method: Method,
        workspace: Path,
        report: Callable[[Finding], None] | None,
        own_template: str | None,
        scratch: Path | None,
    ) -> None:
        self.format = dataset.format
        self.row_count = 0
        self.conversion = conversion_of(dataset, own_template)
        self._columns = dataset.columns
        self._method = method
        self._workspace = workspace
        self._report = report
        self._scratch = scratch

    def read(self, source: DatasetSource, field: str, seed: int, shuffle: bool, limit: int | None) -> Sequence[Example]:
        rows = open_rows(source, self._workspace, field)
        findings = Findings(self._report)
        checker = Checker(rows, self._columns, self.conversion, findings)
        spool = Spool(self._scratch)
        examples = choose(checker.examples(self.format, self._method), seed, shuffle, limit, spool)
        if findings:
            raise findings.error(rows.name, checker.row_count)
        if checker.format is None:
            raise DatasetError(FindingCode.EMPTY_DATASET, f"{rows.name}: there are no rows")
        self.format = checker.format.name
        self.row_count += checker.row_count
        return examples


def _add_notes(notes: Findings, dataset: DatasetSpec, ignored: set[str], statistics: Statistics) -> None:
    if ignored:
        message = f"not used in training: {name_list(sorted(ignored))}"
        notes.add(Finding(None, None, FindingCode.IGNORED_COLUMNS, message))
    if statistics.duplicate_count:
        message = f"{statistics.duplicate_count} examples occur more than once"
        notes.add(Finding(None, None, FindingCode.DUPLICATES, message))
    if dataset.evaluation is not None and dataset.evaluation.fraction and not statistics.evaluation_count:
        message = "spec.dataset.evaluation.fraction: one example cannot be split; nothing is held out"
        notes.add(Finding(None, None, FindingCode.NO_EVALUATION, message))
