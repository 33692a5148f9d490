"""The formulae of docs/scores.md: numbers in [0, 1] from texts, tokens and log-probabilities. Pure, no torch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations
from typing import Any

_REPEATED_LENGTHS = (2, 3, 4)


@dataclass(frozen=True)
class Answer:
    """What a model answered."""

    text: str
    """Without special tokens and outer white space."""
    tokens: tuple[int, ...]
    """As generated, without the end token."""
    end_token: int | None
    """The token by which the model ended it; None if the limit cut it."""

    @property
    def is_ended(self) -> bool:
        return self.end_token is not None

    @property
    def all_tokens(self) -> list[int]:
        """As generated."""
        return [*self.tokens, *([] if self.end_token is None else [self.end_token])]


@dataclass(frozen=True)
class LogLikelihood:
    """Of the labelled tokens of a row, in nats."""

    total: float
    count: int

    @property
    def mean(self) -> float:
        """For a token; the geometric mean of the probabilities is its exponential."""
        return self.total / self.count


def coherence(answer: Answer, mean_log_probability: float, vocabulary_size: int) -> float:
    """fluency × diversity × (1 if it is ended, else ½); 0 for an answer that says nothing.

    `mean_log_probability` is that of the answer's tokens, end token included, under the base model, in nats.
    """
    if not answer.text:
        return 0.0
    ending = 1.0 if answer.is_ended else 0.5
    return fluency(mean_log_probability, vocabulary_size) * diversity(answer.tokens) * ending


def fluency(mean_log_probability: float, vocabulary_size: int) -> float:
    """1 − H / ln V, where H is the cross-entropy of a token: 1 is certain, 0 no better than a guess among V tokens."""
    return min(max(1.0 + mean_log_probability / math.log(vocabulary_size), 0.0), 1.0)


def diversity(tokens: Sequence[int]) -> float:
    """Π over n = 2, 3, 4 of (distinct n-grams / n-grams), as in Su et al. 2022; 1 where there is no n-gram."""
    product = 1.0
    for length in _REPEATED_LENGTHS:
        grams = [tuple(tokens[start : start + length]) for start in range(len(tokens) - length + 1)]
        product *= len(set(grams)) / len(grams) if grams else 1.0
    return product


def consistency(texts: Sequence[str]) -> float:
    """Mean chrF with β = 1, which is symmetric, over all pairs of answers; equal texts agree by 1, one alone too."""
    pairs = [1.0 if first == second else _chrf(first, second, beta=1) for first, second in combinations(texts, 2)]
    return math.fsum(pairs) / len(pairs) if pairs else 1.0


def similarity(text: str, reference: str) -> float:
    """chrF of an answer against its reference (Popović 2015: n = 6, β = 2)."""
    return 1.0 if text == reference else _chrf(text, reference, beta=2)


def likelihood_gain(mean_log_probability: float, base_mean_log_probability: float) -> float:
    """p / (p + q) for the geometric means p and q of a reference token's probability under model and base: ½ is none.

    That is the logistic function of the difference of the mean log-probabilities.
    """
    return _logistic(mean_log_probability - base_mean_log_probability)


def helpfulness(gain: float, mean_similarity: float) -> float:
    """Half the likelihood gain, half the mean chrF of the answers against the reference."""
    return (gain + mean_similarity) / 2


def preference(chosen_gain: float, rejected_gain: float) -> float:
    """1 if the implicit reward (Rafailov et al. 2023) of the chosen answer is higher, ½ if equal, else 0.

    A gain is log π(answer) − log π_base(answer), summed over the answer's tokens; β > 0 does not change the sign.
    """
    margin = chosen_gain - rejected_gain
    return 0.5 if margin == 0 else float(margin > 0)


def _logistic(value: float) -> float:
    if value >= 0:
        return 1 / (1 + math.exp(-value))
    return math.exp(value) / (1 + math.exp(value))


def _chrf(text: str, reference: str, beta: int) -> float:
    return float(_metric(beta).sentence_score(text, [reference]).score) / 100


@cache
def _metric(beta: int) -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF(beta=beta)
