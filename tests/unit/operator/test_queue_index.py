"""What admission knows, fed by manifests that may come late."""

from typing import Any

from fettle_operator.queue_index import QueueIndex
from fettle_operator.settings import QueueLimits

ONE = QueueLimits(max_running=1)


def manifest(name: str, version: int, conditions: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    time = "2026-01-01T00:00:00Z"
    return {
        "metadata": {
            "name": name,
            "namespace": "ns",
            "uid": f"uid-{name}",
            "resourceVersion": str(version),
            "creationTimestamp": time,
        },
        "spec": spec,
        "status": {
            "conditions": [
                {"type": kind, "status": status, "reason": "R", "lastTransitionTime": time}
                for kind, status in (conditions or {}).items()
            ]
        },
    }


def test_a_job_that_was_never_looked_at_keeps_its_place() -> None:
    index = QueueIndex()
    index.observe(manifest("a", 1))
    index.observe(manifest("b", 2, {"Accepted": "True"}))
    decision = index.decision(("ns", "b"), ONE)
    assert decision is not None
    assert not decision.is_admitted


def test_a_late_event_does_not_undo_an_admission() -> None:
    index = QueueIndex()
    index.observe(manifest("a", 5, {"Admitted": "True"}))
    index.observe(manifest("a", 3))
    index.observe(manifest("b", 4))
    decision = index.decision(("ns", "b"), ONE)
    assert decision is not None
    assert not decision.is_admitted


def test_the_first_waiting_jobs_are_woken_when_a_place_becomes_free() -> None:
    index = QueueIndex()
    index.observe(manifest("a", 1, {"Admitted": "True"}))
    index.observe(manifest("b", 2))
    index.decision(("ns", "b"), ONE)
    assert index.observe(manifest("a", 3, {"Admitted": "True", "Complete": "True"})) == [("ns", "b")]


def test_nobody_is_woken_in_a_queue_where_nobody_was_told_to_wait() -> None:
    index = QueueIndex()
    index.observe(manifest("a", 1, {"Admitted": "True"}))
    index.observe(manifest("b", 2))
    index.decision(("ns", "b"), QueueLimits())
    assert index.observe(manifest("a", 3, {"Admitted": "True", "Complete": "True"})) == []


def test_the_newest_manifest_is_known() -> None:
    index = QueueIndex()
    older, newer = manifest("a", 1), manifest("a", 2)
    for seen in (newer, older):
        index.observe(seen)
    assert (index.is_newest(newer), index.is_newest(older)) == (True, False)


def test_those_before_whom_a_more_urgent_job_arrives_look_again() -> None:
    index = QueueIndex()
    index.observe(manifest("a", 1, {"Admitted": "True"}))
    index.observe(manifest("b", 2, scheduling={"priority": "low"}))
    index.observe(manifest("c", 3, scheduling={"priority": "high"}))
    index.decision(("ns", "b"), ONE)
    assert index.observe(manifest("d", 4)) == [("ns", "b")]
    assert index.observe(manifest("e", 5, scheduling={"priority": "low"})) == []


def test_removal_frees_the_place() -> None:
    index = QueueIndex()
    index.observe(manifest("a", 1, {"Admitted": "True"}))
    index.observe(manifest("b", 2))
    index.decision(("ns", "b"), ONE)
    assert index.observe(manifest("a", 3, {"Admitted": "True"}), is_deleted=True) == [("ns", "b")]
    decision = index.decision(("ns", "b"), ONE)
    assert decision is not None
    assert decision.is_admitted


def test_who_is_held_back_does_not_wait() -> None:
    index = QueueIndex()
    index.observe(manifest("suspended", 1, suspend=True))
    index.observe(manifest("cancelled", 1, cancel=True))
    index.observe(manifest("refused", 1, {"Accepted": "False"}))
    index.observe(manifest("kueue", 1, scheduling={"kueueQueue": "q"}))
    index.observe(manifest("finished", 1, {"Failed": "True"}))
    names = ("suspended", "cancelled", "refused", "kueue", "finished")
    assert [index.decision(("ns", name), ONE) for name in names] == [None] * 5


def test_a_suspending_job_holds_its_place_until_it_has_stopped() -> None:
    index = QueueIndex()
    index.observe(manifest("a", 1, {"Admitted": "True"}, suspend=True))
    index.observe(manifest("b", 2))
    decision = index.decision(("ns", "b"), ONE)
    assert decision is not None
    assert not decision.is_admitted


def test_a_full_list_misses_only_what_it_could_have_seen() -> None:
    index = QueueIndex()
    for name, version in (("old", 1), ("kept", 2), ("new", 9)):
        index.observe(manifest(name, version))
    assert index.missing({("ns", "kept")}, None, "5") == [("ns", "old")]
    assert index.missing({("ns", "kept")}, "other", "5") == []
