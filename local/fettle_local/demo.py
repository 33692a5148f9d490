"""`fettle demo` without its command line: train the example, then ask what it was never shown, with and without it."""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fettle_client.protocol import ADAPTERS
from fettle_local.answers import Answer, answers
from fettle_local.commands.run import run_job
from fettle_local.datasets import add_dataset
from fettle_local.home import Home
from fettle_local.models import fetch_model
from fettle_local.store import LocalClient
from fettle_local.store.client import DEFAULT_NAMESPACE
from fettle_schema.errors import FettleError
from fettle_schema.manifests import load_manifests

MANIFEST = "kubectl-helper.yaml"
DATASET = "datasets/kubectl"
HELD_OUT = "heldout.jsonl"
MAX_NEW_TOKENS = 24
"""The longest held-out command has 21, with its end."""


class DemoError(FettleError):
    """The demonstration cannot go on."""

    code = "DemoError"


@dataclass(frozen=True)
class Question:
    """A request that training never saw, and its one right answer."""

    request: str
    expected: str
    system: str


@dataclass
class Timings:
    """Seconds of each part, in order."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Time a block."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[part] = time.monotonic() - started

    def summary(self) -> str:
        """One line."""
        parts = [f"{part} {seconds:.0f} s" for part, seconds in self.seconds.items()]
        return f"Time: {', '.join(parts)}; {sum(self.seconds.values()):.0f} s in all."


def load_questions(path: Path) -> list[Question]:
    """The held-out rows: a system message, the user's, and the assistant's answer."""
    rows = [json.loads(line)["messages"] for line in path.read_text().splitlines() if line.strip()]
    return [Question(request["content"], answer["content"], system["content"]) for system, request, answer in rows]


async def run_demo(client: LocalClient, home: Home, examples: Path, say: Callable[[str], None]) -> int:
    """Prepare, train, compare; returns the exit status."""
    manifest_path = examples / MANIFEST
    if not manifest_path.is_file():
        raise DemoError(f"{manifest_path} is missing; run this in a clone of the repository, or give --examples")
    timings = Timings()
    with timings.measure("model"):
        fetch_model(home, "smollm2-135m", say)
    with timings.measure("dataset"):
        add_dataset(home.workspace, "kubectl", examples / DATASET)
    (manifest,) = load_manifests(manifest_path.read_text())
    with timings.measure("training"):
        status = await run_job(client, home, manifest, DEFAULT_NAMESPACE, "make demo")
    if status:
        return status
    name = manifest["spec"].get("output", {}).get("adapterName") or manifest["metadata"]["name"]
    adapter = await client.get(ADAPTERS, name, DEFAULT_NAMESPACE)
    questions = load_questions(examples / DATASET / HELD_OUT)
    with timings.measure("answers"):
        say(f"asking {len(questions)} questions that training never saw, without and with the adapter")
        requests = [question.request for question in questions]
        given = answers(home, adapter, requests, MAX_NEW_TOKENS, questions[0].system)
        before, after = _compare(questions, given, say)
    say(f"\nExactly right: {before} of {len(questions)} before, {after} of {len(questions)} after.")
    say(timings.summary())
    return 0


def _compare(questions: list[Question], given: list[Answer], say: Callable[[str], None]) -> tuple[int, int]:
    before = after = 0
    for question, answer in zip(questions, given, strict=True):
        is_right_before, is_right_after = is_right(question, answer.base), is_right(question, answer.adapter)
        before, after = before + is_right_before, after + is_right_after
        say(f"\n{question.request}")
        say(f"  base     {'✓' if is_right_before else '✗'} {_one_line(answer.base)}")
        say(f"  adapter  {'✓' if is_right_after else '✗'} {_one_line(answer.adapter)}")
        if not is_right_after:
            say(f"  expected   {question.expected}")
    return before, after


def is_right(question: Question, answer: str) -> bool:
    """Exactly the expected command, white space at its ends aside."""
    return answer.strip() == question.expected.strip()


def _one_line(answer: str, limit: int = 90) -> str:
    text = " ".join(answer.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
