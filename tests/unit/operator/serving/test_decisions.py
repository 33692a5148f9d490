"""What one engine pod should do: a table of what it has, what is wanted, and what comes of it."""

from typing import Any

import pytest

from fettle_operator.serving.candidates import Candidate, Wish
from fettle_operator.serving.decisions import Decisions, Listing, Load, Unload, decide
from fettle_operator.serving.pods import EnginePod
from fettle_schema.reasons import Reason

BASES = (("tiny", "/workspace/models/tiny"),)
PATH = "/workspace/adapters/a/111111111111"
OLDER_PATH = "/workspace/adapters/a/000000000000"


def candidate(name: str = "a", wish: Wish = Wish.LOAD, **changes: Any) -> Candidate:
    fields: dict[str, Any] = {
        "key": ("default", name),
        "uid": f"uid-{name}",
        "created": f"2026-01-01T00:00:0{ord(name) % 8}Z",
        "wish": wish,
        "served_name": name,
        "path": f"/workspace/adapters/{name}/111111111111",
        "own_paths": f"/workspace/adapters/{name}/",
        "rank": 8,
        "base_model": "models/tiny",
        "selector": "",
        "port": 8000,
        "api_key_name": None,
    }
    return Candidate(**{**fields, **changes})


def decided(
    *candidates: Candidate, max_rank: int | None = None, limit: int | None = None, **adapters: str
) -> Decisions:
    pod = EnginePod("engine", "uid", 0, "10.0.0.1", True, 8000, max_rank=limit)
    return decide(pod, Listing(adapters, BASES, max_rank), candidates, "/workspace", None)


def done(decisions: Decisions) -> list[tuple[str, str]]:
    verbs = {True: "replace", False: "load"}
    return [
        (verbs[action.replaces] if isinstance(action, Load) else "unload", action.candidate.key[1])
        for action in decisions.actions
    ]


@pytest.mark.parametrize(
    ("wish", "adapters", "expected"),
    [
        (Wish.LOAD, {}, [("load", "a")]),
        (Wish.LOAD, {"a": PATH}, []),
        (Wish.LOAD, {"a": OLDER_PATH}, [("replace", "a")]),
        (Wish.LOAD, {"a": "/somewhere/else"}, [("replace", "a")]),
        (Wish.LOAD, {"b": "/workspace/adapters/b/111111111111"}, [("load", "a")]),
        (Wish.HOLD, {}, []),
        (Wish.HOLD, {"a": OLDER_PATH}, []),
        (Wish.UNLOAD, {}, []),
        (Wish.UNLOAD, {"a": PATH}, [("unload", "a")]),
        (Wish.UNLOAD, {"a": OLDER_PATH}, [("unload", "a")]),
        (Wish.UNLOAD, {"a": "/somewhere/else"}, []),
        (Wish.LOAD, {"old-name": PATH}, [("unload", "a"), ("load", "a")]),
        (Wish.LOAD, {"old-name": OLDER_PATH, "a": PATH}, [("unload", "a")]),
        (Wish.HOLD, {"old-name": PATH}, []),
        (Wish.UNLOAD, {"old-name": OLDER_PATH}, [("unload", "a")]),
    ],
)
def test_one_adapter(wish: Wish, adapters: dict[str, str], expected: list[tuple[str, str]]) -> None:
    decisions = decided(candidate(wish=wish), **adapters)
    assert (done(decisions), decisions.problems) == (expected, {})


def test_unloading_makes_room_first() -> None:
    decisions = decided(candidate("a"), candidate("b", Wish.UNLOAD), b="/workspace/adapters/b/111111111111")
    assert done(decisions) == [("unload", "b"), ("load", "a")]


def test_of_two_with_one_name_the_older_has_it_even_while_its_files_are_looked_at() -> None:
    for wish in (Wish.LOAD, Wish.HOLD):
        older = candidate("a", wish, served_name="x", created="2026-01-01T00:00:00Z")
        younger = candidate("b", served_name="x", created="2026-01-01T00:00:01Z")
        decisions = decided(younger, older)
        assert done(decisions) == ([("load", "a")] if wish is Wish.LOAD else [])
        assert decisions.problems["uid-b"].reason is Reason.NAME_TAKEN


def test_the_name_of_one_that_goes_is_taken_over_without_a_gap() -> None:
    going = candidate("a", Wish.UNLOAD, served_name="x", created="2026-01-01T00:00:00Z")
    coming = candidate("b", served_name="x", created="2026-01-01T00:00:01Z")
    assert done(decided(going, coming, x=PATH)) == [("replace", "b")]


@pytest.mark.parametrize(
    ("changes", "limits", "reason"),
    [
        ({"served_name": "tiny"}, {}, Reason.NAME_TAKEN),
        ({"rank": 65}, {"max_rank": 64}, Reason.RANK_TOO_HIGH),
        ({"rank": 17}, {"max_rank": 64, "limit": 16}, Reason.RANK_TOO_HIGH),
        ({"base_model": "models/other"}, {}, Reason.BASE_MODEL_MISMATCH),
        ({"base_model": "acme/tiny"}, {}, Reason.BASE_MODEL_MISMATCH),
    ],
)
def test_what_would_be_wrong_is_not_asked(changes: dict[str, Any], limits: dict[str, int], reason: Reason) -> None:
    decisions = decided(candidate(**changes), **limits)
    assert (done(decisions), decisions.problems["uid-a"].reason) == ([], reason)


@pytest.mark.parametrize(
    ("wanted", "name", "root"),
    [
        ("models/tiny", "tiny", "/workspace/models/tiny"),
        ("models/tiny", "tiny", "/workspace/models/tiny/"),
        ("acme/tiny", "acme/tiny", "acme/tiny"),
        ("acme/tiny", "chat", "acme/tiny"),
        ("acme/tiny", "chat", "/workspace/models/acme/tiny"),
        ("acme/tiny", "chat", "/workspace/huggingface/hub/models--acme--tiny/snapshots/c0ffee"),
    ],
)
def test_an_engine_of_the_right_base_model(wanted: str, name: str, root: str) -> None:
    pod = EnginePod("engine", "uid", 0, "10.0.0.1", True, 8000)
    decisions = decide(pod, Listing({}, ((name, root),)), [candidate(base_model=wanted)], "/workspace", None)
    assert done(decisions) == [("load", "a")]


def test_the_limit_of_the_pod_goes_before_the_engines_and_that_before_the_installations() -> None:
    pod = EnginePod("engine", "uid", 0, "10.0.0.1", True, 8000)
    listing = Listing({}, BASES, max_rank=None)
    assert done(decide(pod, listing, [candidate(rank=32)], "/workspace", 16)) == []
    assert done(decide(pod, listing, [candidate(rank=32)], "/workspace", None)) == [("load", "a")]
    assert done(decided(candidate(rank=32), max_rank=16, limit=64)) == [("load", "a")]
    assert isinstance(decided(candidate("a", Wish.UNLOAD), a=PATH).actions[0], Unload)
