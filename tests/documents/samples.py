"""The samples of a document, in order: its code blocks, and the lines that name a request. Pure.

A line that names a request is a heading `GET /path`, or `**Endpoint:** ` and the same between backquotes.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

REQUEST = "request"
"""The language of a sample that is one line, `METHOD /path`."""

_FENCE = re.compile(r"(?P<indent> *)(?P<fence>`{3,})(?P<language>[\w+-]*)[^`]*")
_HEADING = re.compile(r"(?P<marks>#{1,6}) +(?P<words>.+?) *#*")
_REQUEST = re.compile(r"(?:GET|POST|PUT|PATCH|DELETE) /\S*")
_ENDPOINT = re.compile(r"\*\*Endpoint:\*\* +`([^`]+)`")


class NoSampleError(LookupError):
    """A document has no such sample."""


class DocumentError(ValueError):
    """A document cannot be read."""


@dataclass(frozen=True)
class Sample:
    """One sample. Compared by where it stands."""

    file: str
    line: int
    headings: tuple[str, ...]
    """From the document's title to the section that it stands in."""
    label: str
    """The text just above it, without marks: `Response`, `Request Body`."""
    language: str
    """As the fence has it; `request` for a line that names one."""
    text: str

    @property
    def heading(self) -> str:
        """The section."""
        return self.headings[-1] if self.headings else ""

    @property
    def place(self) -> str:
        """`file:line`."""
        return f"{self.file}:{self.line}"

    @property
    def name(self) -> str:
        """Section and label, for people."""
        return " · ".join(filter(None, (self.heading, self.label)))


def find(samples: Iterable[Sample], heading: str, which: int | str = 1) -> Sample:
    """The n-th sample of a section, or the one with this label. Raises NoSampleError."""
    found = [sample for sample in samples if sample.heading == heading]
    if isinstance(which, str):
        found = [sample for sample in found if sample.label == which]
        which = 1
    if not 1 <= which <= len(found):
        raise NoSampleError(f"no sample {which!r} below {heading!r}")
    return found[which - 1]


def samples_of(file: str, text: str) -> list[Sample]:
    """All samples of a document. Raises DocumentError for a block that has no end."""
    return _Reader(file, text.splitlines()).read()


class _Reader:
    """Where in the document it is, and what it has found so far."""

    def __init__(self, file: str, lines: list[str]) -> None:
        self._file, self._lines, self._number = file, lines, 0
        self._headings: list[tuple[int, str]] = []
        self._label = ""
        self._samples: list[Sample] = []

    def read(self) -> list[Sample]:
        while self._number < len(self._lines):
            line = self._lines[self._number]
            self._number += 1
            if fence := _FENCE.fullmatch(line):
                self._read_block(fence)
            elif heading := _HEADING.fullmatch(line):
                self._enter(len(heading["marks"]), heading["words"])
            elif endpoint := _ENDPOINT.fullmatch(line.strip()):
                self._add(self._number, REQUEST, endpoint[1])
            elif line.strip():
                self._label = line.strip().replace("*", "").rstrip(":")
        return self._samples

    def _enter(self, level: int, words: str) -> None:
        self._headings = [*((depth, above) for depth, above in self._headings if depth < level), (level, words)]
        self._label = ""
        if _REQUEST.fullmatch(words):
            self._add(self._number, REQUEST, words)

    def _read_block(self, fence: re.Match[str]) -> None:
        first, indent = self._number, len(fence["indent"])
        block: list[str] = []
        while self._number < len(self._lines):
            line = self._lines[self._number]
            self._number += 1
            if line.strip().startswith(fence["fence"]) and not line.strip().strip("`"):
                self._add(first, fence["language"], "\n".join(block) + "\n")
                return
            block.append(line[indent:] if not line[:indent].strip() else line)
        raise DocumentError(f"{self._file}:{first}: this block has no end")

    def _add(self, line: int, language: str, text: str) -> None:
        headings = tuple(words for _, words in self._headings)
        self._samples.append(Sample(self._file, line, headings, self._label, language, text))
        self._label = ""
