"""A seed says the same each time, and the first ones try every death."""

from tests.faults.plan import WRITES_OF_A_LIFE, Fault, plan

STORIES = ("one", "two", "three")


def test_a_seed_gives_the_same_plan_and_the_same_faults() -> None:
    first, again = plan(17, STORIES, "one"), plan(17, STORIES, "one")
    assert first == again
    asked = [(method, f"jobs/{name}", n) for method in ("GET", "PATCH") for name in "ab" for n in range(50)]
    assert [first.fault(*request) for request in asked] == [again.fault(*request) for request in asked]
    assert first.watch_fault("pods", 1) == again.watch_fault("pods", 1)
    assert plan(18, STORIES, "one") != first


def test_the_first_seeds_die_before_and_after_every_write_of_one_story() -> None:
    plans = [plan(seed, STORIES, "one") for seed in range(2 * WRITES_OF_A_LIFE)]
    deaths = {(chosen.kills[0].write, chosen.kills[0].when) for chosen in plans}
    assert len(deaths) == len(plans)
    assert {chosen.stories["a"] for chosen in plans} == {"one"}


def test_later_seeds_try_all_stories_and_queues() -> None:
    plans = [plan(seed, STORIES, "one") for seed in range(100, 200)]
    assert {chosen.stories["a"] for chosen in plans} == set(STORIES)
    assert {chosen.max_running for chosen in plans} == {None, 1}
    assert {chosen.is_submitted_first for chosen in plans} == {False, True}
    assert {len(chosen.stories) for chosen in plans} == {1, 2}


def test_only_what_can_be_said_to_a_request_is_said() -> None:
    chosen = plan(3, STORIES, "one")
    said = {method: {chosen.fault(method, "jobs/x", n) for n in range(2000)} for method in ("GET", "POST", "PATCH")}
    assert said["PATCH"] == {None, *Fault}
    assert said["POST"] == {None, *Fault} - {Fault.CONFLICT}
    assert said["GET"] == {None, Fault.OVERLOADED, Fault.BROKEN, Fault.LOST_REQUEST, Fault.SLOW}


def test_watches_meet_every_fault_and_the_first_one_is_served() -> None:
    chosen = plan(3, STORIES, "one")
    faults = [chosen.watch_fault("pods", n) for n in range(1, 300)]
    assert not faults[0].is_too_old
    for name in ("is_too_old", "ends_as_too_old", "doubles", "swaps"):
        assert {getattr(fault, name) for fault in faults} == {True, False}
    assert any(fault.delay_seconds for fault in faults)
    assert any(fault.ends_after == 0 for fault in faults)
