"""Stop strings over text that comes in pieces."""

import pytest

from fettle_trainer.serve.stopping import StopFinder


@pytest.mark.parametrize(
    ("stops", "pieces", "expected", "is_stopped"),
    [
        ([], ["all ", "of it"], "all of it", False),
        (["END"], ["before END after"], "before ", True),
        (["END"], ["a E", "N", "D b"], "a ", True),
        (["END"], ["a E", "N", "Xb"], "a ENXb", False),
        (["END"], ["a EN"], "a EN", False),
        (["bc", "b"], ["ab", "c"], "a", True),
        (["aab"], ["a", "a", "a", "b"], "a", True),
        (["\n\n"], ["one\n", "two\n", "\nthree"], "one\ntwo", True),
        (["x", "yz"], ["a y", "z x"], "a ", True),
    ],
)
def test_text_ends_before_the_first_stop_string(
    stops: list[str], pieces: list[str], expected: str, is_stopped: bool
) -> None:
    finder, shown = StopFinder(stops), ""
    for piece in pieces:
        text, found = finder.feed(piece)
        shown += text
        if found:
            break
    else:
        found = False
        shown += finder.flush()
    assert (shown, found) == (expected, is_stopped)


def test_only_what_may_become_a_stop_string_is_held_back() -> None:
    finder = StopFinder(["STOP"])
    assert finder.feed("go ST") == ("go ", False)
    assert finder.feed("AND") == ("STAND", False)
