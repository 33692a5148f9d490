"""The formulae, by hand-made numbers: shuffled words, repetition, empty and foreign answers."""

import math
import random
from itertools import pairwise

import pytest

from fettle_trainer.benchmark import scores
from fettle_trainer.benchmark.scores import Answer

VOCABULARY = 1000
PERFECT = Answer("ready", (5, 6, 7), end_token=2)


@pytest.mark.parametrize(
    ("answer", "mean_log_probability", "expected"),
    [
        (PERFECT, 0.0, 1.0),
        (PERFECT, -math.log(VOCABULARY), 0.0),
        (PERFECT, -math.log(VOCABULARY) / 4, 0.75),
        (PERFECT, -1000.0, 0.0),
        (Answer("ready", (5, 6, 7), end_token=None), 0.0, 0.5),
        (Answer("", (), end_token=2), 0.0, 0.0),
        (Answer("", (9, 9), end_token=2), 0.0, 0.0),
        (Answer("a a a a", (5, 5, 5, 5), end_token=2), 0.0, 1 / 3 * 1 / 2 * 1),
        (Answer("日本語🎉", (5, 6, 7), end_token=2), 0.0, 1.0),
    ],
)
def test_coherence_of_known_answers(answer: Answer, mean_log_probability: float, expected: float) -> None:
    assert scores.coherence(answer, mean_log_probability, VOCABULARY) == pytest.approx(expected)


def test_shuffled_words_lower_coherence() -> None:
    corpus = ["the", "pod", "is", "ready", "and", "the", "pod", "is", "running", "and", "the", "node", "is", "ready"]
    words = sorted(set(corpus))
    follows = set(pairwise(corpus))

    def mean_log_probability(text: list[str]) -> float:
        """A language model that knows which word follows which."""
        known = [math.log(0.5 if pair in follows else 1e-3) for pair in pairwise(text)]
        return sum(known) / len(known)

    def coherence(text: list[str]) -> float:
        answer = Answer(" ".join(text), tuple(words.index(word) for word in text), end_token=99)
        return scores.coherence(answer, mean_log_probability(text), VOCABULARY)

    for seed in range(10):
        shuffled = random.Random(seed).sample(corpus, len(corpus))
        assert coherence(shuffled) < coherence(corpus)


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ([], 1.0),
        ([1], 1.0),
        ([1, 2, 3, 4, 5], 1.0),
        ([1, 2, 1, 2], 2 / 3),
        ([7] * 100, 1 / 99 * 1 / 98 * 1 / 97),
    ],
)
def test_diversity_falls_with_repeated_n_grams(tokens: list[int], expected: float) -> None:
    assert scores.diversity(tokens) == pytest.approx(expected)


@pytest.mark.parametrize("text", ["kubectl get pods", "", " ", "日本語", "é", "🎉🎉"])
def test_identical_answers_are_wholly_consistent(text: str) -> None:
    assert scores.consistency([text] * 5) == 1.0
    assert scores.similarity(text, text) == 1.0


def test_one_answer_is_consistent_with_itself() -> None:
    assert scores.consistency(["kubectl get pods"]) == 1.0


def test_an_empty_answer_agrees_with_no_other() -> None:
    assert scores.consistency(["", "kubectl get pods"]) == 0.0
    assert scores.similarity("", "kubectl get pods") == 0.0


def test_consistency_does_not_depend_on_the_order() -> None:
    texts = ["kubectl get pods", "kubectl get pod -A", "it depends", "日本語"]

    found = scores.consistency(texts)

    assert 0.0 < found < 1.0
    assert scores.consistency(texts[::-1]) == pytest.approx(found, abs=1e-12)


def test_closer_answers_are_more_consistent() -> None:
    near = scores.consistency(["kubectl get pods", "kubectl get pods -A"])

    assert near > scores.consistency(["kubectl get pods", "docker ps"])


def test_similarity_is_chrf_of_sacrebleu() -> None:
    from sacrebleu import sentence_chrf

    text, reference = "kubectl get pod", "kubectl get pods -A"

    assert scores.similarity(text, reference) == pytest.approx(sentence_chrf(text, [reference]).score / 100)


@pytest.mark.parametrize(
    ("own", "base", "expected"),
    [(-1.0, -1.0, 0.5), (math.log(0.3), math.log(0.1), 0.75), (0.0, -2000.0, 1.0), (-2000.0, 0.0, 0.0)],
)
def test_likelihood_gain_compares_the_probabilities_of_a_token(own: float, base: float, expected: float) -> None:
    assert scores.likelihood_gain(own, base) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("chosen", "rejected", "expected"), [(2.0, 1.0, 1.0), (-3.0, -1.0, 0.0), (0.0, 0.0, 0.5), (-1.0, -3.0, 1.0)]
)
def test_preference_is_the_sign_of_the_reward_margin(chosen: float, rejected: float, expected: float) -> None:
    assert scores.preference(chosen, rejected) == expected
