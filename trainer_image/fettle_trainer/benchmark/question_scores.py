"""All scores of one question, from answers and log-probabilities. Pure, no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from fettle_trainer.benchmark import scores
from fettle_trainer.benchmark.scores import Answer, LogLikelihood


@dataclass(frozen=True)
class ScoredAnswer:
    """An answer to the unchanged prompt, and what the base model thinks of it."""

    answer: Answer
    mean_log_probability: float
    """Of its tokens, end token included, under the base model."""


@dataclass(frozen=True)
class QuestionScores:
    """Each in [0, 1]; None where the question has no such reference."""

    coherence: float
    consistency: float
    helpfulness: float | None
    fluency: float
    diversity: float
    ending: float
    likelihood_gain: float | None = None
    similarity: float | None = None
    preference_accuracy: float | None = None


def score_question(
    answers: Sequence[ScoredAnswer],
    paraphrase_texts: Sequence[str],
    vocabulary_size: int,
    reference: str | None,
    likelihoods: Sequence[tuple[LogLikelihood, LogLikelihood]],
) -> QuestionScores:
    """The scores of a question.

    `likelihoods` holds, for the reference or for the chosen and the rejected answer, its log-likelihood under the
    model that is scored and under the base model; nothing without a reference.
    """
    texts = [one.answer.text for one in answers]
    gain = similarity = accuracy = helpfulness = None
    if len(likelihoods) == 2:
        chosen, rejected = (own.total - base.total for own, base in likelihoods)
        helpfulness = accuracy = scores.preference(chosen, rejected)
    elif reference is not None:
        ((own, base),) = likelihoods
        gain = scores.likelihood_gain(own.mean, base.mean)
        similarity = _mean([scores.similarity(text, reference.strip()) for text in texts])
        helpfulness = scores.helpfulness(gain, similarity)
    return QuestionScores(
        coherence=_mean([scores.coherence(one.answer, one.mean_log_probability, vocabulary_size) for one in answers]),
        consistency=scores.consistency([*texts, *paraphrase_texts]),
        helpfulness=helpfulness,
        fluency=_mean([scores.fluency(one.mean_log_probability, vocabulary_size) for one in answers]),
        diversity=_mean([scores.diversity(one.answer.tokens) for one in answers]),
        ending=_mean([float(one.answer.is_ended) for one in answers]),
        likelihood_gain=gain,
        similarity=similarity,
        preference_accuracy=accuracy,
    )


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
