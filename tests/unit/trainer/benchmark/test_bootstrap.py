"""The interval is the same under its seed, holds the mean, and covers the truth about as often as it says."""

import random

import pytest

from fettle_trainer.benchmark.bootstrap import bootstrap, quantile


def test_the_same_seed_gives_the_same_interval() -> None:
    values = [index / 10 for index in range(11)]

    assert bootstrap(values, 1) == bootstrap(values, 1)
    assert bootstrap(values, 1) != bootstrap(values, 2)


def test_it_holds_the_mean_and_stays_within_the_values() -> None:
    found = bootstrap([0.0, 0.2, 0.4, 1.0], 42)

    assert found is not None
    assert found.n == 4
    assert found.value == pytest.approx(0.4)
    assert 0.0 <= found.low < found.value < found.high <= 1.0


def test_one_value_and_equal_values_leave_no_doubt() -> None:
    for values in ([0.3], [0.3] * 20):
        found = bootstrap(values, 42)
        assert found is not None
        assert (found.low, found.high) == (pytest.approx(0.3), pytest.approx(0.3))


def test_without_values_there_is_none() -> None:
    assert bootstrap([], 42) is None


def test_it_covers_the_true_mean_nearly_as_often_as_it_says() -> None:
    numbers = random.Random(0)
    covered = 0
    for _ in range(100):
        found = bootstrap([numbers.random() for _ in range(32)], 42)
        assert found is not None
        covered += found.low <= 0.5 <= found.high

    assert 88 <= covered <= 99  # the percentile interval of 32 values is a little too narrow


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (0.5, 2.5), (1.0, 4.0)])
def test_quantiles_lie_between_values(share: float, expected: float) -> None:
    assert quantile([1.0, 2.0, 3.0, 4.0], share) == pytest.approx(expected)
