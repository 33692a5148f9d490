import pytest

from tests.bench.figures import Figure, megabytes, milliseconds, percentile, row, schedule


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [([3.0, 1.0, 2.0], 0.5, 2.0), ([1.0], 0.99, 1.0), ([float(n) for n in range(1, 101)], 0.99, 99.0), ([1, 2], 1, 2)],
)
def test_a_percentile_is_one_of_the_values(values: list[float], share: float, wanted: float) -> None:
    assert percentile(values, share) == wanted


def test_of_nothing_there_is_no_percentile() -> None:
    with pytest.raises(ValueError, match="nothing was measured"):
        percentile([], 0.5)


def test_a_schedule_is_steady() -> None:
    assert schedule(4, 1) == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize(("is_met", "verdict"), [(True, "met"), (False, "**not met**"), (None, "1.2 times")])
def test_a_row_says_whether_the_goal_is_met(is_met: bool | None, verdict: str) -> None:
    figure = Figure("a page", "p99 12.0 ms", "max 1 ms", 1200, "< 50 ms", is_met, "1.2 times")
    assert row(figure) == f"| a page | p99 12.0 ms | max 1 ms | 1,200 | < 50 ms | {verdict} |"


def test_units() -> None:
    assert (milliseconds(0.01234), milliseconds(1.5), megabytes(12_400_000)) == ("12.3 ms", "1,500 ms", "12 MB")
