"""What became of each sample: what it was used for, how answers differed, and what was excused. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from tests.documents.samples import Sample

UNUSED = "no check has used it"


@dataclass
class Result:
    """One sample."""

    sample: Sample
    uses: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    is_run: bool = True
    """False for what starts their server."""

    def lines(self) -> Iterator[str]:
        """For people."""
        uses = ", ".join(dict.fromkeys(self.uses)) or "unused"
        verdict = "DIFFERS" if self.differences else "ok" if self.is_run else "not run"
        yield f"{self.sample.place:18} {verdict:8} {self.sample.name} — {uses}"
        yield from (f"{'':18} ≠ {words}" for words in dict.fromkeys(self.differences))
        yield from (f"{'':18} ~ {words}" for words in dict.fromkeys(self.remarks))


class Report:
    """All samples of one document, and what went wrong beside them."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._results = {sample: Result(sample) for sample in samples}
        self.failures: list[str] = []
        """Checks that broke off, or name a sample that is not there."""

    def use(self, sample: Sample, what: str) -> None:
        """A check has used it."""
        self._results[sample].uses.append(what)

    def differ(self, sample: Sample, words: str) -> None:
        """Something is not as the document has it."""
        self._results[sample].differences.append(words)

    def remark(self, sample: Sample, words: str) -> None:
        """Something is not as the document has it, for a reason."""
        self._results[sample].remarks.append(words)

    def leave_out(self, sample: Sample, reason: str) -> None:
        """It starts the server that the document is about."""
        self.use(sample, "starts their server")
        self.remark(sample, reason)
        self._results[sample].is_run = False

    def results(self) -> list[Result]:
        """In the document's order; whatever no check has used differs."""
        for result in self._results.values():
            if not result.uses and not result.differences:
                result.differences.append(f"{UNUSED}: {result.sample.language or 'text'} below {result.sample.name!r}")
        return list(self._results.values())


def summary(reports: Iterable[Report]) -> tuple[str, bool]:
    """One sentence over all documents, and whether all is well."""
    known = list(reports)
    results = [result for report in known for result in report.results()]
    differing = sum(bool(result.differences) for result in results)
    left_out = sum(not result.is_run for result in results)
    failures = sum(len(report.failures) for report in known)
    passed = len(results) - differing - left_out
    words = (
        f"{len(results)} samples: {passed} passed, {differing} differ, {left_out} start their server and are not run"
    )
    return f"{words}; {failures} checks broke off", not differing and not failures
