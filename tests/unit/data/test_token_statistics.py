"""Lengths of examples, described by numbers that occur."""

import pytest

from fettle_data.token_statistics import TokenStatistics, token_statistics


@pytest.mark.parametrize(
    ("lengths", "max_length", "expected"),
    [
        ([], 10, TokenStatistics(0, 0, 0, 0, 0, 0.0)),
        ([7], 7, TokenStatistics(1, 7, 7, 7, 7, 0.0)),
        ([4, 1, 3, 2], 2, TokenStatistics(4, 10, 2, 4, 4, 0.5)),
        (range(1, 101), 95, TokenStatistics(100, 5050, 50, 95, 100, 0.05)),
        ([5] * 19 + [100], 50, TokenStatistics(20, 195, 5, 5, 100, 0.05)),
    ],
)
def test_statistics_of_lengths(lengths: list[int], max_length: int, expected: TokenStatistics) -> None:
    assert token_statistics(lengths, max_length) == expected
    assert token_statistics(iter(lengths), max_length).to_json()["max"] == expected.max
