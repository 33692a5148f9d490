"""The parts of `make bench-operator` that decide something."""

import pytest

from tests.bench import operator_burst
from tests.bench.facade_load import Call, Plan, call_of
from tests.bench.operator_world import each


def test_reports_go_round_all_jobs_with_their_tokens_and_count_their_steps() -> None:
    plan = Plan(["/a", "/b"], per_second=1, seconds=1, tokens=["of-a", "of-b"])
    calls = [call_of(plan, number) for number in range(5)]
    assert [(call.method, call.url, call.token) for call in calls[:3]] == [
        ("POST", "/a", "of-a"),
        ("POST", "/b", "of-b"),
        ("POST", "/a", "of-a"),
    ]
    assert [call.body["step"] for call in calls if call.body] == [1, 1, 2, 2, 3]


def test_without_tokens_the_urls_are_asked_for() -> None:
    assert call_of(Plan(["/a", "/b"], per_second=1, seconds=1), 3) == Call("/b")


async def test_everything_is_done_once() -> None:
    done: list[int] = []

    async def act(number: int) -> None:
        done.append(number)

    await each(range(100), act)
    assert sorted(done) == list(range(100))


@pytest.mark.parametrize(("ours", "is_met"), [([4.0, 5.0, 6.0], True), ([4.0, 6.0, 7.0], False)])
def test_the_peer_is_beaten_by_a_third(ours: list[float], is_met: bool) -> None:
    assert operator_burst.comparison(ours, [14.0, 15.0, 16.0]).is_met is is_met
