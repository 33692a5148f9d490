"""One document while it is checked: samples are run, answers are compared, and each use is noted in the report."""

import asyncio
import json
import re
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.documents import calls
from tests.documents.answers import Answer, answers_of
from tests.documents.machine import FINAL_PHASES, Machine
from tests.documents.report import Report
from tests.documents.samples import Sample, find
from tests.documents.shapes import differences, excused, parse_example

_SHOWN = 300

Check = Callable[["Document"], Coroutine[Any, Any, None]]
"""A few samples that belong together."""


@dataclass(frozen=True)
class Expected:
    """What an answer must be."""

    status: int = 200
    like: Sample | None = None
    """The example whose fields and types it has."""
    exactly: bool = False
    """It is the example, word for word."""
    keyed_by_id: tuple[str, ...] = ()
    """Objects whose keys are ids."""
    reasons: Mapping[str, str] = field(default_factory=dict)
    """Path → why the example cannot hold there."""


class Document:
    """A document, the machine that it is checked on, and its report."""

    def __init__(self, samples: Iterable[Sample], report: Report, machine: Machine, base_url: str) -> None:
        self._samples, self.report, self.machine, self.base_url = list(samples), report, machine, base_url
        self.notes: dict[str, str] = {}
        """What one check leaves for another."""
        self._made: list[tuple[Sample, str]] = []
        self._background: list[asyncio.Task[None]] = []

    def at(self, heading: str, which: int | str = 1) -> Sample:
        """A sample by its section, and its number or label there. Raises NoSampleError."""
        return find(self._samples, heading, which)

    def pair(self, heading: str, label: str = "Response", status: int = 200) -> tuple[Sample, Expected]:
        """A section's first sample, and what is expected of its answer."""
        return self.at(heading), Expected(status, like=self.at(heading, label))

    async def run(self, checks: Iterable[Check]) -> None:
        """One after the other; one that breaks off is noted, and the others go on."""
        for check in checks:
            try:
                await check(self)
            except Exception as error:  # whatever it is, it is this check's result
                self.report.failures.append(f"{check.__module__}.{check.__name__}: {type(error).__name__}: {error}")

    def in_background(self, check: Check) -> None:
        """Run a check beside those that follow."""
        self._background.append(asyncio.create_task(self.run([check])))

    async def finish_background(self) -> None:
        """Wait for them."""
        await asyncio.gather(*self._background)
        self._background.clear()

    def starts_their_server(self, sample: Sample, reason: str) -> None:
        """The only samples that are not run."""
        self.report.leave_out(sample, reason)

    def part(self, sample: Sample, of: str) -> Any:
        """A sample that is a piece of a body."""
        self.report.use(sample, f"part of {of}")
        return parse_example(sample.text)

    async def bash(
        self, sample: Sample, *expected: Expected, replaced: Mapping[str, str] | None = None
    ) -> list[Answer]:
        """Run it, and compare the answer of each of its calls."""
        self.report.use(sample, "run by bash")
        answers = answers_of(await calls.run_bash(_replaced(sample.text, replaced), self.machine.scratch))
        if len(answers) != len(expected):
            self.report.differ(sample, f"{len(answers)} answers to {len(expected)} calls")
        for answer, wanted in zip(answers, expected, strict=False):
            self.compare(sample, answer, wanted)
        return answers

    async def python(self, sample: Sample, *prints: str, refused: Collection[str] = ()) -> re.Match[str] | None:
        """Run it; it prints something that matches each pattern, and none but the calls in `refused` is refused.

        A refused call reads `POST /train 422`. The match of the last pattern.
        """
        self.report.use(sample, "run by Python")
        output, answers = await calls.run_python(sample.text, self.machine.scratch)
        for answer in sorted({answer for answer in answers if not answer.endswith(" 200")} ^ set(refused)):
            self.report.differ(sample, f"not {'answered' if answer in refused else 'expected'}: {answer}")
        return self._check_output(sample, output, prints)

    async def node(self, sample: Sample, prelude: str, *prints: str) -> None:
        """Run it behind a line that sets what it takes as given."""
        self.report.use(sample, "run by node")
        self._check_output(sample, await calls.run_node(f"{prelude}\n{sample.text}", self.machine.scratch), prints)

    async def request(
        self,
        sample: Sample,
        expected: Expected,
        body: Sample | Mapping[str, Any] | None = None,
        replaced: Mapping[str, str] | None = None,
    ) -> Any:
        """Send the request that a sample names, with a sample as it stands or a value as its body; the answer."""
        self.report.use(sample, "sent")
        method, _, path = _replaced(sample.text.strip(), replaced).partition(" ")
        if isinstance(body, Sample):
            self.report.use(body, f"body of {method} {path}")
        return await self.send(sample, f"{method} {path}", expected, body)

    async def send(
        self, sample: Sample, request: str, expected: Expected, body: Sample | Mapping[str, Any] | None = None
    ) -> Any:
        """A request of the check's own, by which a sample is proven; the answer's JSON."""
        method, _, path = request.partition(" ")
        content = None if body is None else (body.text if isinstance(body, Sample) else json.dumps(body)).encode()
        answer = await calls.send(method, f"{self.base_url}{path}", content)
        return answer.json if self.compare(sample, answer, expected) else None

    async def body(self, sample: Sample, request: str, expected: Expected) -> Any:
        """Send a sample as the body of a request; the answer's JSON."""
        self.report.use(sample, f"body of {request}")
        return await self.send(sample, request, expected, sample)

    def compare(self, sample: Sample, answer: Answer, expected: Expected) -> bool:
        """Note where the answer is not as expected; whether it is JSON."""
        call = f"{answer.method} {answer.url.removeprefix(self.base_url)}"
        if answer.status != expected.status:
            self.report.differ(sample, f"{call}: {answer.status}, not {expected.status}: {answer.text[:_SHOWN]}")
        try:
            found = answer.json
        except ValueError:
            self.report.differ(sample, f"{call}: no JSON: {answer.text[:_SHOWN]}")
            return False
        if expected.like is not None and answer.status == expected.status:
            self.like(expected.like, found, f"answer of {call}", expected)
        return True

    def like(self, example: Sample, found: Any, what: str, expected: Expected | None = None) -> None:
        """Note where a value is not like an example."""
        wanted = expected or Expected()
        self.report.use(example, what)
        shown = parse_example(example.text)
        if wanted.exactly and found != shown:
            self.report.differ(example, f"{what}: {json.dumps(found)[:_SHOWN]}")
        left, needed, idle = excused(differences(found, shown, wanted.keyed_by_id), wanted.reasons)
        for difference in (*left, *idle):
            self.report.differ(example, f"{what}: {difference}")
        for reason in needed:
            self.report.remark(example, reason)

    def message(self, example: Sample, said: Collection[Any], reasons: Mapping[str, str] | None = None) -> None:
        """Compare with that message of a WebSocket, of the example's type, that has most of its fields."""
        shown = parse_example(example.text)
        candidates = [message for message in said if message.get("type") == shown["type"]]
        if not candidates:
            self.report.use(example, "message")
            self.report.differ(example, f"no such message among {sorted({message['type'] for message in said})}")
            return
        best = min(candidates, key=lambda message: len(differences(message, shown)))
        self.like(example, best, "message of the WebSocket", Expected(reasons=reasons or {}))

    def made(self, sample: Sample, job_id: str | None) -> None:
        """A sample has made this job, which must end well."""
        if job_id:
            self._made.append((sample, job_id))

    async def finish_jobs(self) -> None:
        """Wait for the jobs that samples made, and note those that failed."""
        for sample, job_id in self._made:
            job = await self.machine.wait(job_id, *FINAL_PHASES)
            status = job["status"]
            if status["phase"] != "Succeeded":
                self.report.differ(sample, f"job {job_id} has {status['phase'].lower()}: {status.get('failure')}")
        self._made.clear()

    def _check_output(self, sample: Sample, output: str, patterns: Iterable[str]) -> re.Match[str] | None:
        match = None
        for pattern in patterns:
            match = re.search(pattern, output, re.MULTILINE)
            if match is None:
                self.report.differ(sample, f"does not print {pattern!r}: …{output[-_SHOWN:]}")
        return match


async def until(document: Document, request: str, field_name: str, values: Collection[str], seconds: float = 60) -> Any:
    """Ask again until a field of the answer has one of these values."""
    method, _, path = request.partition(" ")
    async with asyncio.timeout(seconds):
        while True:
            found = (await calls.send(method, f"{document.base_url}{path}", None)).json
            if str(found.get(field_name)) in values:
                return found
            await asyncio.sleep(0.1)


def _replaced(text: str, replaced: Mapping[str, str] | None) -> str:
    for placeholder, value in (replaced or {}).items():
        if placeholder not in text:
            raise LookupError(f"the sample has no {placeholder!r} to be replaced")
        text = text.replace(placeholder, value)
    return text
