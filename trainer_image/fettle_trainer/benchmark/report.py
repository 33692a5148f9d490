"""The report of a benchmark: `benchmark.json` for people and programs, and the few numbers that a RunResult carries.

Neither holds text of the dataset, and neither holds times: the same benchmark gives the same bytes. Pure.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from fettle_trainer.benchmark.bootstrap import CONFIDENCE, RESAMPLES, Interval, bootstrap
from fettle_trainer.benchmark.question_scores import QuestionScores

SCHEMA_VERSION = "fettle.dev/benchmark/v1alpha1"
SCORES = ("coherence", "consistency", "helpfulness")
_DIGITS = 6
"""Rounded so far, a score is the same whatever shared its batch."""


@dataclass(frozen=True)
class Benchmark:
    """What was measured: for each question, the scores of the base model and of what was trained on it."""

    keys: Sequence[str]
    """Digest of each prompt."""
    base: Sequence[QuestionScores]
    trained: Sequence[QuestionScores] | None
    seed: int
    prompts_digest: str

    @property
    def scored(self) -> Sequence[QuestionScores]:
        """The scores that the benchmark is about."""
        return self.base if self.trained is None else self.trained


def build_report(benchmark: Benchmark, conditions: dict[str, Any]) -> dict[str, Any]:
    """The whole report; `conditions` says what was scored and how, in JSON values."""
    return {
        "schemaVersion": SCHEMA_VERSION,
        "n": len(benchmark.keys),
        "seed": benchmark.seed,
        "promptsDigest": benchmark.prompts_digest,
        **conditions,
        "interval": {"confidence": CONFIDENCE, "resamples": RESAMPLES, "method": "percentile bootstrap"},
        "scores": _scores(benchmark.scored, benchmark.seed),
        "baseScores": _scores(benchmark.base, benchmark.seed),
        "differences": _differences(benchmark),
        "questions": [
            {
                "prompt": f"sha256:{key}",
                "scores": _rounded(asdict(scored)),
                "baseScores": _rounded(asdict(base)),
            }
            for key, scored, base in zip(benchmark.keys, benchmark.scored, benchmark.base, strict=True)
        ],
    }


def flat_metrics(report: dict[str, Any]) -> dict[str, Any]:
    """The report's scores as `RunResult.metrics` has them; a score that has no value is left out."""
    found: dict[str, Any] = {"n": report["n"], "seed": report["seed"], "promptsDigest": report["promptsDigest"]}
    if report.get("trained") is not None:
        found["trainedDigest"] = report["trained"]["digest"]
    for name in SCORES:
        score, base = report["scores"][name], report["baseScores"][name]
        if score is not None and base is not None:
            found |= {name: score["value"], f"{name}Low": score["low"], f"{name}High": score["high"]}
            found[f"base{name.capitalize()}"] = base["value"]
    return found


def _scores(questions: Sequence[QuestionScores], seed: int) -> dict[str, Any]:
    scores: dict[str, Any] = {name: _interval(bootstrap(_values(questions, name), seed)) for name in SCORES}
    parts = [field.name for field in fields(QuestionScores) if field.name not in SCORES]
    means = {part: _mean(_values(questions, part)) for part in parts}
    return {**scores, "parts": _rounded(means)}


def _differences(benchmark: Benchmark) -> dict[str, Any] | None:
    """Scores minus the base's, question by question: its interval is narrower than those of the two."""
    if benchmark.trained is None:
        return None
    pairs = {name: (_values(benchmark.trained, name), _values(benchmark.base, name)) for name in SCORES}
    return {
        name: _interval(bootstrap([own - base for own, base in zip(*values, strict=True)], benchmark.seed))
        for name, values in pairs.items()
    }


def _values(questions: Sequence[QuestionScores], name: str) -> list[float]:
    values = [getattr(question, name) for question in questions]
    return [value for value in values if value is not None]


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    return None if interval is None else _rounded(asdict(interval))


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        _camel(name): round(value, _DIGITS) if isinstance(value, float) else value for name, value in values.items()
    }


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(part.capitalize() for part in rest)
