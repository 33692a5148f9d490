"""Draws are named, evenly spread, and follow the probabilities."""

import pytest

from fettle_trainer.benchmark.draws import draw_token, uniform


def test_a_draw_is_decided_by_its_names() -> None:
    assert uniform(42, "answer", "a-0", 7) == uniform(42, "answer", "a-0", 7)
    assert uniform(42, "answer", "a-0", 7) != uniform(42, "answer", "a-0", 8)
    assert uniform("a", "b") != uniform("ab")


def test_draws_are_the_same_on_every_machine() -> None:
    assert uniform(42, "answer") == 0.6633711957039653


def test_draws_are_evenly_spread() -> None:
    draws = [uniform("spread", number) for number in range(2000)]

    assert all(0.0 <= draw < 1.0 for draw in draws)
    assert sum(draws) / len(draws) == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("number", "expected"), [(0.0, 9), (0.89, 9), (0.91, 4), (0.999999, 4)])
def test_the_likeliest_token_comes_first(number: float, expected: int) -> None:
    assert draw_token([0.0, 2.1972245773], [4, 9], 1.0, number) == expected


def test_equal_scores_are_taken_in_the_order_of_their_tokens() -> None:
    assert draw_token([1.0, 1.0], [9, 4], 1.0, 0.1) == draw_token([1.0, 1.0], [4, 9], 1.0, 0.1) == 4


def test_a_low_temperature_leaves_the_likeliest_token() -> None:
    assert draw_token([1.0, 2.0, 500.0], [1, 2, 3], 0.01, 0.999) == 3
