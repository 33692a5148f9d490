"""Which scores a question has: with a reference, with a pair of answers, with neither."""

import pytest

from fettle_trainer.benchmark.question_scores import ScoredAnswer, score_question
from fettle_trainer.benchmark.scores import Answer, LogLikelihood

ANSWERS = [
    ScoredAnswer(Answer("get pods", (5, 6), end_token=2), -1.0),
    ScoredAnswer(Answer("get nodes", (5, 7), end_token=None), -2.0),
]


def test_a_reference_gives_gain_and_similarity() -> None:
    likelihoods = [(LogLikelihood(-4.0, 2), LogLikelihood(-6.0, 2))]

    found = score_question(ANSWERS, ["get pods"], 1000, "get pods", likelihoods)

    assert found.likelihood_gain == pytest.approx(0.7310585786)
    assert found.similarity is not None
    assert 0.5 < found.similarity < 1.0
    assert found.helpfulness == pytest.approx((found.likelihood_gain + found.similarity) / 2)
    assert found.preference_accuracy is None
    assert found.ending == 0.5


def test_a_pair_gives_the_preference_only() -> None:
    likelihoods = [
        (LogLikelihood(-4.0, 2), LogLikelihood(-6.0, 2)),
        (LogLikelihood(-5.0, 2), LogLikelihood(-6.0, 2)),
    ]

    found = score_question(ANSWERS, [], 1000, "get pods", likelihoods)

    assert found.helpfulness == found.preference_accuracy == 1.0
    assert found.likelihood_gain is None
    assert found.similarity is None


def test_without_a_reference_helpfulness_is_null() -> None:
    found = score_question(ANSWERS, ["get"], 1000, None, [])

    assert found.helpfulness is None
    assert found.coherence > 0
    assert 0 < found.consistency < 1


def test_the_base_model_is_no_gain_over_itself() -> None:
    same = LogLikelihood(-4.0, 2)

    assert score_question(ANSWERS, [], 1000, "x", [(same, same)]).likelihood_gain == 0.5
    assert score_question(ANSWERS, [], 1000, "x", [(same, same)] * 2).preference_accuracy == 0.5
