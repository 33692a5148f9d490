"""The check of a history finds what must not have happened, and nothing in a good one."""

from typing import Any

import pytest

from tests.faults.history import Change, Expected, broken_rules, violations

JOB = "uid-of-a"
EXPECTED = Expected(JOB, "Succeeded", attempts=2, failures=1, preemptions=0)


def change(version: int, kind: str, name: str, uid: str, type: str = "MODIFIED", **content: Any) -> Change:
    metadata = {"name": name, "uid": uid, "resourceVersion": str(version), "labels": content.pop("labels", {})}
    return Change(type, kind, {"metadata": metadata, **content})


def job(version: int, phase: str, type: str = "MODIFIED", attempts: int = 2, **status: Any) -> Change:
    counts = {"current": attempts, "failures": 1}
    return change(version, "TrainingJob", "a", JOB, type, status={"phase": phase, "attempts": counts, **status})


def child(version: int, kind: str, attempt: int, type: str = "ADDED", uid: str = "", **status: Any) -> Change:
    labels = {"fettle.dev/training-job-uid": JOB, "fettle.dev/attempt": str(attempt)}
    name = f"a-a{attempt}"
    return change(version, kind, name, uid or f"{kind}-{attempt}", type, labels=labels, status=status)


def adapter(version: int, type: str = "MODIFIED", uid: str = "adapter", versions: int = 1) -> Change:
    status = {"phase": "Available", "history": [{}] * versions}
    return change(version, "Adapter", "a", uid, type, spec={"source": {"trainingJobUid": JOB}}, status=status)


def good() -> list[Change]:
    return [
        job(1, "Pending", "ADDED", attempts=0),
        child(2, "Job", 1),
        child(3, "Pod", 1),
        child(4, "Pod", 1, "MODIFIED", phase="Failed"),
        child(5, "Job", 1, "MODIFIED", conditions=[{"type": "Failed", "status": "True"}]),
        child(6, "Job", 2),
        child(7, "Pod", 2),
        job(8, "Running"),
        child(9, "Pod", 2, "MODIFIED", phase="Succeeded"),
        child(10, "Job", 2, "MODIFIED", conditions=[{"type": "Complete", "status": "True"}]),
        adapter(11, "ADDED"),
        adapter(12),
        job(13, "Succeeded", message="done"),
    ]


def problems(*history: Change, **limits: int) -> list[str]:
    return violations(history, {"a": EXPECTED}, **limits)


def test_a_good_history_is_good_in_whatever_order_the_kinds_were_told() -> None:
    assert problems(*good(), max_running=1) == []
    assert problems(*reversed(good()), max_running=1) == []


@pytest.mark.parametrize(
    ("bad", "complaint"),
    [
        (job(14, "Succeeded", "DELETED", message="done"), "accepted and is lost"),
        (job(14, "Running"), "it never ended: Running"),
        (job(14, "Failed", message="done"), "verdict changed"),
        (job(14, "Succeeded", message="done, or not"), "verdict changed"),
        (job(14, "Succeeded", message="done", completionTime="later"), "verdict changed"),
        (job(14, "Succeeded", message="done", attempts=3), "are ('Succeeded', 3, 1, 0), not ('Succeeded', 2, 1, 0)"),
        (child(6, "Job", 2, uid="another"), "attempt 2 has 2 Jobs"),
        (child(14, "Job", 3), "Job a-a3 was created after the verdict"),
        (child(8, "Pod", 3), "attempts ['2', '3'] had pods at the same time"),
        (adapter(12, "ADDED", uid="another"), "2 Adapters were made, not 1"),
        (adapter(14, versions=2), "counts one result twice"),
        (adapter(14, "DELETED"), "its Adapter is DELETED"),
    ],
)
def test_what_must_not_happen_is_found(bad: Change, complaint: str) -> None:
    found = problems(*good(), bad)
    assert any(complaint in problem for problem in found), found


def test_a_job_that_nobody_saw_is_lost() -> None:
    assert problems() == ["a: it was accepted and is lost", "a: 0 Adapters were made, not 1"]


def test_a_job_made_anew_under_its_name_is_not_the_job_that_was_accepted() -> None:
    other = change(2, "TrainingJob", "a", "another", "ADDED", status={"phase": "Succeeded"})
    assert "a: it was accepted and is lost" in problems(job(1, "Pending", "DELETED"), other)


def test_a_missing_adapter_is_found_and_one_that_should_not_be() -> None:
    without = [found for found in good() if found.kind != "Adapter"]
    assert problems(*without) == ["a: 0 Adapters were made, not 1"]
    failed = Expected(JOB, "Failed", attempts=2, failures=1, preemptions=0)
    ended = [found for found in good() if found.version != 13]
    found = violations([*ended, job(13, "Failed")], {"a": failed})
    assert found == ["a: 1 Adapters were made, not 0"]


def test_a_failure_that_was_decided_on_stands_before_the_verdict_is_written() -> None:
    decided = job(8, "Running", failure={"code": "LossNotFinite"})
    assert any("its failure changed" in problem for problem in problems(*good(), decided))


def test_a_queue_that_runs_too_many_is_found() -> None:
    labels = {"fettle.dev/training-job-uid": "uid-of-b", "fettle.dev/attempt": "1"}
    other = change(7, "Job", "b-a1", "Job-b", "ADDED", labels=labels, status={})
    assert problems(*good(), other, max_running=1) == ["2 jobs ran at once in a queue of 1, at version 7"]
    assert problems(*good(), other, max_running=2) == []


def test_a_job_that_rests_while_its_pods_run_is_found() -> None:
    too_early = [change for change in good() if change.version not in (9, 10)]
    assert problems(*too_early) == ["a: it is Succeeded while attempts ['2'] run, at version 13"]
    suspended = job(8, "Suspended")
    assert problems(*good(), suspended) == ["a: it is Suspended while attempts ['2'] run, at version 8"]


def test_what_is_made_for_a_job_that_was_just_deleted_counts_for_nothing() -> None:
    gone = job(14, "Succeeded", "DELETED", message="done")
    orphan = child(15, "Job", 2, uid="another")
    assert broken_rules([*good(), gone, orphan], {"a": JOB}, max_running=1) == []
    assert broken_rules([*good(), orphan], {"a": JOB}) == [
        "a: attempt 2 has 2 Jobs",
        "a: Job a-a2 was created after the verdict",
    ]
