"""Which token is chosen."""

from collections import Counter
from typing import Any

import pytest

from fettle_trainer.serve.sampling import SamplingParameters, choose_token, new_generator

SCORES = [2.0, 1.0, 0.5, -1.0, 1.9]


def choose(prompt: list[int] | None = None, answer: list[int] | None = None, seed: int = 0, **parameters: Any) -> int:
    import torch

    chosen = SamplingParameters(**parameters)
    return choose_token(torch.tensor(SCORES), chosen, prompt or [], answer or [], new_generator(seed))


@pytest.mark.parametrize(
    ("parameters", "possible"),
    [
        ({"temperature": 0}, {0}),
        ({"temperature": 1e-9}, {0}),
        ({"top_k": 1}, {0}),
        ({"top_k": 2}, {0, 4}),
        ({"top_k": -1, "temperature": 100}, {0, 1, 2, 3, 4}),
        ({"top_k": 99, "temperature": 100}, {0, 1, 2, 3, 4}),
        ({"top_p": 0.01}, {0}),
        ({"top_p": 0.6}, {0, 4}),
        ({"min_p": 0.9}, {0, 4}),
        ({"min_p": 1.0}, {0}),
        ({"top_k": 3, "top_p": 0.999, "temperature": 5}, {0, 1, 4}),
    ],
)
def test_only_tokens_that_the_parameters_leave_are_chosen(parameters: dict[str, Any], possible: set[int]) -> None:
    assert {choose(seed=seed, **parameters) for seed in range(200)} == possible


def test_tokens_come_as_often_as_they_are_likely() -> None:
    import torch

    expected = torch.tensor(SCORES).softmax(-1)
    generator, counts = new_generator(1), Counter[int]()
    for _ in range(4000):
        counts[choose_token(torch.tensor(SCORES), SamplingParameters(), [], [], generator)] += 1
    assert all(abs(counts[token] / 4000 - float(expected[token])) < 0.03 for token in range(5))


@pytest.mark.parametrize(
    ("history", "parameters", "expected"),
    [
        ({"prompt": [0]}, {"repetition_penalty": 2.0}, 4),
        ({"answer": [0, 4]}, {"repetition_penalty": 4.0}, 1),
        ({"prompt": [0]}, {"presence_penalty": 2.0}, 0),
        ({"answer": [0]}, {"presence_penalty": 0.2}, 4),
        ({"answer": [0]}, {"frequency_penalty": 0.05}, 0),
        ({"answer": [0, 0, 0]}, {"frequency_penalty": 0.05}, 4),
    ],
)
def test_penalties_look_at_what_was_said(
    history: dict[str, list[int]], parameters: dict[str, float], expected: int
) -> None:
    assert choose(**history, temperature=0, **parameters) == expected  # type: ignore[arg-type]


def test_the_given_scores_are_not_changed_and_a_seed_repeats() -> None:
    import torch

    scores = torch.tensor(SCORES)
    parameters = SamplingParameters(repetition_penalty=1.5, frequency_penalty=1)
    chosen = [choose_token(scores, parameters, [0], [1, 1], new_generator(3)) for _ in range(5)]
    assert len(set(chosen)) == 1
    assert scores.tolist() == pytest.approx(SCORES)
