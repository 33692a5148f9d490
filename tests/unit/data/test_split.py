"""The split: stable, exact in number, and equal examples stay together."""

from hashlib import sha256

import pytest

from fettle_data.formats.format import Example
from fettle_data.split import choose, hold_out, measure


def examples(*texts: object) -> list[Example]:
    return [{"text": f"{text}"} for text in texts]


@pytest.mark.parametrize(
    ("count", "fraction", "held_out"),
    [(0, 0.5, 0), (1, 0.5, 0), (2, 0.01, 1), (2, 0.5, 1), (3, 0.5, 2), (10, 0.0, 0), (10, 0.1, 1), (100, 0.25, 25)],
)
def test_number_held_out_is_the_nearest_that_leaves_both_parts(count: int, fraction: float, held_out: int) -> None:
    train, evaluation = hold_out(examples(*range(count)), fraction, seed=3)
    assert (len(train), len(evaluation)) == (count - held_out, held_out)


def test_split_hardly_changes_when_rows_are_added_or_moved() -> None:
    _, before = hold_out(examples(*range(1000)), 0.1, seed=3)
    _, after = hold_out(examples(*reversed(range(1010))), 0.1, seed=3)
    assert len([example for example in before if example in after]) >= 95


def test_equal_examples_stay_on_one_side() -> None:
    for seed in range(50):
        train, evaluation = hold_out(examples(*range(10), *range(10), *range(5)), 0.2, seed)
        assert evaluation
        assert not [example for example in evaluation if example in train]


def test_examples_that_are_all_equal_are_split_by_number() -> None:
    train, evaluation = hold_out(examples("a", "a", "a", "a"), 0.25, seed=0)
    assert (len(train), len(evaluation)) == (3, 1)


def test_order_is_the_same_on_every_machine() -> None:
    assert choose(examples(*range(6)), seed=42, shuffle=True, limit=None) == examples(3, 4, 5, 0, 1, 2)
    _, evaluation = hold_out(examples(*range(6)), 0.5, seed=42)
    assert evaluation == examples(2, 3, 5)


def test_digest_is_that_of_canonical_json_lines() -> None:
    text = 'train\n{"text":"a"}\nevaluation\n{"text":"é"}\n'
    assert measure(examples("a"), examples("é")).digest == f"sha256:{sha256(text.encode()).hexdigest()}"
