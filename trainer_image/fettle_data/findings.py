"""What is wrong with a dataset: single findings, their collection in bounded memory, and the error that ends a run.

Messages name places, columns and expectations. They never quote the text of an example, because they end up in
logs and in status.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from fettle_schema.errors import FettleError

LISTED_FINDINGS = 20
_LISTED_NAMES = 20
_MAX_NAME = 64


class FindingCode(StrEnum):
    """What is wrong, for machines."""

    NOT_FOUND = "NotFound"
    OUTSIDE_WORKSPACE = "OutsideWorkspace"
    UNREADABLE = "Unreadable"
    UNSUPPORTED_FILE = "UnsupportedFile"
    AMBIGUOUS_FILES = "AmbiguousFiles"
    UNREACHABLE = "HubUnreachable"
    HUB_REFUSED = "HubRefused"
    EMPTY_DATASET = "EmptyDataset"
    NOT_UTF8 = "NotUtf8"
    NUL = "NulCharacter"
    LINE_TOO_LONG = "LineTooLong"
    BROKEN_JSON = "BrokenJson"
    BROKEN_CSV = "BrokenCsv"
    BROKEN_TABLE = "BrokenTable"
    NOT_AN_OBJECT = "NotAnObject"
    UNKNOWN_FORMAT = "UnknownFormat"
    WRONG_FORMAT = "WrongFormat"
    WRONG_COLUMNS = "WrongColumns"
    MISSING_COLUMN = "MissingColumn"
    WRONG_TYPE = "WrongType"
    EMPTY_CONTENT = "EmptyContent"
    UNKNOWN_ROLE = "UnknownRole"
    NO_ASSISTANT_TURN = "NoAssistantTurn"
    MIXED_SHAPES = "MixedShapes"
    SAME_ANSWERS = "SameAnswers"
    IGNORED_COLUMNS = "IgnoredColumns"
    DUPLICATES = "Duplicates"
    NO_EVALUATION = "NoEvaluation"
    WRONG_TEMPLATE = "WrongTemplate"
    TEMPLATE_REFUSED = "TemplateRefused"
    MISSING_TOKEN = "MissingToken"  # noqa: S105 # a word of a tokenizer


HINTS: dict[FindingCode, str] = {
    FindingCode.NOT_FOUND: "Upload the dataset, or correct the path; it is relative to the workspace.",
    FindingCode.OUTSIDE_WORKSPACE: "Copy the files into the workspace instead of linking to them.",
    FindingCode.UNREADABLE: "Make it a regular file that the trainer's user may read.",
    FindingCode.UNSUPPORTED_FILE: "Convert the dataset to JSON Lines: one JSON object a line, in a file named .jsonl.",
    FindingCode.AMBIGUOUS_FILES: "Name the file to train on in spec.dataset.source.workspace.path.",
    FindingCode.UNREACHABLE: (
        "Check the network, or put the dataset into the workspace and use spec.dataset.source.workspace."
    ),
    FindingCode.HUB_REFUSED: "Check id, config, split and revision; private and gated datasets need HF_TOKEN.",
    FindingCode.EMPTY_DATASET: "Put at least one example into the dataset.",
    FindingCode.NOT_UTF8: "Save the file as UTF-8, for example with: iconv -f latin1 -t utf-8.",
    FindingCode.NUL: "Remove the NUL characters; files saved as UTF-16 are full of them: save them as UTF-8.",
    FindingCode.LINE_TOO_LONG: "Give each row its own line, and split rows that are larger than the limit.",
    FindingCode.BROKEN_JSON: (
        "Put one whole JSON object on each line of a .jsonl file, or one list of objects into a .json file."
    ),
    FindingCode.BROKEN_CSV: "Start with a line of column names; quote values that hold quotes, separators or newlines.",
    FindingCode.NOT_AN_OBJECT: 'Make each row a JSON object, for example {"messages": [...]}.',
    FindingCode.UNKNOWN_FORMAT: "Rename the columns with spec.dataset.columns, or set spec.dataset.format.",
    FindingCode.WRONG_FORMAT: "Choose the method that trains on this format, or a dataset in a format of the method.",
    FindingCode.WRONG_COLUMNS: "Write spec.dataset.columns as {column of the dataset: name that the format expects}.",
    FindingCode.MISSING_COLUMN: (
        "Add the column to each row, rename one with spec.dataset.columns, or set spec.dataset.format."
    ),
    FindingCode.WRONG_TYPE: "Correct the rows so that the column holds what the format expects.",
    FindingCode.EMPTY_CONTENT: "Fill in the text, or remove the message or the row.",
    FindingCode.UNKNOWN_ROLE: "Use the roles system, user, assistant and tool.",
    FindingCode.NO_ASSISTANT_TURN: "Give each conversation an answer of the assistant, which is what is trained on.",
    FindingCode.MIXED_SHAPES: "Write all rows in the same way: all as plain text, or all as lists of messages.",
    FindingCode.SAME_ANSWERS: "Remove the rows whose answers are equal; nothing is learned from them.",
    FindingCode.BROKEN_TABLE: "Write the file again, for example with pyarrow or `datasets`, and upload it whole.",
    FindingCode.WRONG_TEMPLATE: "Correct spec.dataset.template, or leave it out to use the model's own template.",
    FindingCode.TEMPLATE_REFUSED: (
        "Correct the order of the roles; some templates know no system message. spec.dataset.template names others."
    ),
}


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong with, or worth knowing about, a dataset."""

    row: int | None
    """Number of the row, from 1: the line in files of lines, else the position."""
    column: str | None
    code: FindingCode
    message: str
    """What is there and what was expected."""
    place: str = ""
    """For example `data.jsonl line 3`."""

    def __str__(self) -> str:
        return f"{self.place}: {self.message}" if self.place else self.message

    def to_json(self) -> dict[str, object]:
        return {
            "row": self.row,
            "column": self.column,
            "code": str(self.code),
            "place": self.place,
            "message": self.message,
        }


class DatasetError(FettleError):
    """A dataset cannot be used. `code`, the message and `hint` say what, where, and what to do."""

    def __init__(
        self, code: FindingCode, message: str, hint: str | None = None, findings: "Findings | None" = None
    ) -> None:
        self.code = code
        self.hint = hint if hint is not None else HINTS.get(code, "")
        self.findings = findings
        super().__init__(message)


class Findings:
    """Counts all findings and lists the first 20; `report`, if given, receives each of them as it is found."""

    def __init__(self, report: Callable[[Finding], None] | None = None) -> None:
        self.counts: Counter[FindingCode] = Counter()
        self.listed: list[Finding] = []
        self._report = report

    def __len__(self) -> int:
        return self.counts.total()

    def add(self, finding: Finding) -> None:
        self.counts[finding.code] += 1
        if len(self.listed) < LISTED_FINDINGS:
            self.listed.append(finding)
        if self._report is not None:
            self._report(finding)

    def to_json(self) -> dict[str, object]:
        """All counts, and the findings that are listed."""
        return {
            "total": len(self),
            "counts": {str(code): count for code, count in self.counts.most_common()},
            "listed": [finding.to_json() for finding in self.listed],
        }

    def error(self, name: str, row_count: int) -> DatasetError:
        """The error for the findings about `row_count` rows of the dataset `name`; there must be one at least."""
        first = self.listed[0]
        if len(self) == 1:
            return DatasetError(first.code, str(first), findings=self)
        counts = ", ".join(f"{count} {code}" for code, count in self.counts.most_common())
        lines = [f"{name}: {len(self)} of {row_count} rows cannot be used ({counts}).", *map(str, self.listed)]
        if len(self) > len(self.listed):
            lines.append(f"and {len(self) - len(self.listed)} more")
        hints = dict.fromkeys(HINTS[code] for code, _ in self.counts.most_common(3) if code in HINTS)
        return DatasetError(first.code, "\n".join(lines), " ".join(hints), self)


def name_list(names: Iterable[str]) -> str:
    """Names for a message: quoted, shortened, the first 20."""
    shown = [quote(name) for name in names]
    more = len(shown) - _LISTED_NAMES
    return ", ".join(shown[:_LISTED_NAMES]) + (f" and {more} more" if more > 0 else "") if shown else "none"


def quote(name: str) -> str:
    """A name as a literal of at most 64 characters."""
    return repr(name if len(name) <= _MAX_NAME else f"{name[:_MAX_NAME]}…")
