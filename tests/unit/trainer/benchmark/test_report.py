"""What the report says, and what the RunResult carries of it."""

import json
from typing import Any

from fettle_trainer.benchmark.question_scores import QuestionScores
from fettle_trainer.benchmark.report import Benchmark, build_report, flat_metrics


def scores(value: float, helpfulness: float | None) -> QuestionScores:
    return QuestionScores(
        coherence=value,
        consistency=value,
        helpfulness=helpfulness,
        fluency=value,
        diversity=1.0,
        ending=1.0,
        likelihood_gain=helpfulness,
    )


def report(trained: list[QuestionScores] | None, base: list[QuestionScores]) -> dict[str, Any]:
    keys = [f"{number:064x}" for number in range(len(base))]
    return build_report(Benchmark(keys, base, trained, 42, "sha256:00"), {"precision": "fp32"})


def test_scores_stand_beside_those_of_the_base_model() -> None:
    found = report([scores(0.6, 0.8), scores(0.8, None)], [scores(0.5, 0.5), scores(0.5, None)])

    assert found["n"] == 2
    assert found["precision"] == "fp32"
    assert found["scores"]["coherence"]["value"] == 0.7
    assert found["scores"]["coherence"]["low"] <= 0.7 <= found["scores"]["coherence"]["high"]
    assert found["scores"]["helpfulness"] == {"value": 0.8, "low": 0.8, "high": 0.8, "n": 1}
    assert found["scores"]["parts"]["likelihoodGain"] == 0.8
    assert found["baseScores"]["coherence"]["value"] == 0.5
    assert found["differences"]["coherence"]["value"] == 0.2
    assert [one["prompt"][-1] for one in found["questions"]] == ["0", "1"]
    assert json.loads(json.dumps(found)) == found


def test_metrics_name_the_version_that_was_scored() -> None:
    found = report([scores(0.6, 0.8)], [scores(0.5, 0.5)])
    assert "trainedDigest" not in flat_metrics({**found, "trained": None})
    trained = {"kind": "adapter", "path": "adapters/a/0", "digest": "sha256:11"}
    assert flat_metrics({**found, "trained": trained})["trainedDigest"] == "sha256:11"


def test_without_an_adapter_the_base_model_is_scored() -> None:
    found = report(None, [scores(0.5, 0.5)])

    assert found["scores"] == found["baseScores"]
    assert found["differences"] is None


def test_without_references_helpfulness_is_null() -> None:
    found = report([scores(0.6, None)], [scores(0.5, None)])

    assert found["scores"]["helpfulness"] is None
    assert found["differences"]["helpfulness"] is None
    assert not [name for name in flat_metrics(found) if "elpfulness" in name]


def test_metrics_are_flat() -> None:
    found = flat_metrics(report([scores(0.6, 0.8)], [scores(0.5, 0.5)]))

    assert found == {
        "n": 1,
        "seed": 42,
        "promptsDigest": "sha256:00",
        "coherence": 0.6,
        "coherenceLow": 0.6,
        "coherenceHigh": 0.6,
        "baseCoherence": 0.5,
        "consistency": 0.6,
        "consistencyLow": 0.6,
        "consistencyHigh": 0.6,
        "baseConsistency": 0.5,
        "helpfulness": 0.8,
        "helpfulnessLow": 0.8,
        "helpfulnessHigh": 0.8,
        "baseHelpfulness": 0.5,
    }
