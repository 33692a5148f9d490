"""How an attempt is judged."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from fettle_operator.verdict import Outcome, Patience, Verdict, judge

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
PATIENCE = Patience(pod_start_seconds=300, lost_seconds=120)
SUCCESS = {"exitCode": 0, "step": 5, "output": {"kind": "adapter", "path": "adapters/a/b", "digest": "sha256:1"}}


def run(end: str | None = None, nodes: int = 1, **spec: Any) -> dict[str, Any]:
    conditions = [{"type": end, "status": "True"}] if end else []
    return {
        "metadata": {"name": "demo-a1", "creationTimestamp": "2026-01-01T11:59:00Z"},
        "spec": {"completions": nodes, "parallelism": nodes, **spec},
        "status": {"conditions": conditions},
    }


def deleting() -> dict[str, Any]:
    job = run()
    job["metadata"]["deletionTimestamp"] = "2026-01-01T11:59:30Z"
    return job


def ended(
    code: int, message: Any = "", reason: str = "Error", name: str = "p0", disrupted: bool = False
) -> dict[str, Any]:
    text = message if isinstance(message, str) else json.dumps(message)
    state = {"terminated": {"exitCode": code, "reason": reason, "message": text}}
    phase = "Failed" if code else "Succeeded"
    conditions = [{"type": "DisruptionTarget", "status": "True"}] if disrupted else []
    return pod(name, phase=phase, containerStatuses=[{"name": "trainer", "state": state}], conditions=conditions)


def pod(name: str = "p0", deleted_at: str | None = None, **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "uid": name} | ({"deletionTimestamp": deleted_at} if deleted_at else {})
    return {"metadata": metadata, "status": {"phase": "Pending", **status}}


def running(name: str = "p0", deleted_at: str | None = None) -> dict[str, Any]:
    state = {"running": {"startedAt": "2026-01-01T11:59:00Z"}}
    return pod(name, deleted_at, phase="Running", containerStatuses=[{"name": "trainer", "state": state}])


def waits(reason: str, scheduled_at: str = "2026-01-01T11:59:00Z") -> dict[str, Any]:
    condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": scheduled_at}
    state = {"waiting": {"reason": reason, "message": "because"}}
    return pod(conditions=[condition], containerStatuses=[{"name": "trainer", "state": state}])


LONG_AGO = "2026-01-01T11:00:00Z"


def verdict(job: dict[str, Any], pods: list[dict[str, Any]], own_command: bool = False) -> Verdict:
    return judge(job, pods, NOW, PATIENCE, attempt=1, brings_own_command=own_command)


@pytest.mark.parametrize(
    ("pods", "outcome", "code"),
    [
        ([ended(64)], Outcome.FAILED, "ConfigurationInvalid"),
        ([ended(65)], Outcome.FAILED, "DatasetInvalid"),
        ([ended(66)], Outcome.FAILED, "ModelUnavailable"),
        ([ended(67)], Outcome.FAILED, "DiskFull"),
        ([ended(70)], Outcome.FAILED, "OutOfMemory"),
        ([ended(71)], Outcome.FAILED, "LossNotFinite"),
        ([ended(75)], Outcome.RETRY, "InfrastructureError"),
        ([ended(75, {"exitCode": 75, "failure": {"code": "Stalled", "message": "m"}})], Outcome.RETRY, "Stalled"),
        ([ended(1)], Outcome.RETRY, "TrainerError"),
        ([ended(1, {"exitCode": 1, "failure": {"code": "Unheard", "message": "m"}})], Outcome.RETRY, "TrainerError"),
        ([ended(137, reason="OOMKilled")], Outcome.RETRY, "OutOfMemoryKilled"),
        ([ended(137)], Outcome.RETRY, "InfrastructureError"),
        ([ended(128, "exec: python: not found", reason="StartError")], Outcome.FAILED, "PodRefused"),
        ([pod(phase="Failed", reason="OutOfcpu", message="no")], Outcome.RETRY, "InfrastructureError"),
        ([pod(phase="Failed", reason="PodRefused", message="no")], Outcome.FAILED, "PodRefused"),
        ([ended(75, "not json {")], Outcome.RETRY, "InfrastructureError"),
        ([ended(1, name="p0"), ended(64, name="p1")], Outcome.FAILED, "ConfigurationInvalid"),
        ([ended(64, name="p0"), ended(70, name="p1")], Outcome.FAILED, "OutOfMemory"),
        ([ended(70, name="p0"), ended(71, name="p1")], Outcome.FAILED, "LossNotFinite"),
        ([ended(75, name="p0"), ended(137, name="p1", reason="OOMKilled")], Outcome.RETRY, "OutOfMemoryKilled"),
        ([ended(1, name="p0"), ended(75, name="p1")], Outcome.RETRY, "InfrastructureError"),
        ([ended(0, name="p0"), ended(1, name="p1")], Outcome.RETRY, "TrainerError"),
    ],
)
def test_a_failed_job_is_judged_by_its_worst_pod(pods: list[dict[str, Any]], outcome: Outcome, code: str) -> None:
    for order in (pods, pods[::-1]):
        judged = verdict(run("Failed", nodes=len(pods)), order)
        assert judged.failure is not None
        assert (judged.outcome, judged.failure.code) == (outcome, code)
        assert judged.failure.message
        assert judged.failure.hint


@pytest.mark.parametrize(
    "pods",
    [
        [ended(85)],
        [ended(143, disrupted=True)],
        [ended(71, disrupted=True)],
        [pod(phase="Failed", reason="Evicted", message="The node was low on resource: memory.")],
        [ended(71, name="p0"), ended(143, name="p1", disrupted=True)],
        [ended(71, name="p0"), ended(85, name="p1")],
        [],
    ],
)
def test_what_the_cluster_took_away_is_a_preemption(pods: list[dict[str, Any]]) -> None:
    assert verdict(run("Failed", nodes=max(1, len(pods))), pods).outcome is Outcome.PREEMPTED


def test_a_pod_that_somebody_deleted_is_a_preemption() -> None:
    deleted = ended(137)
    deleted["metadata"]["deletionTimestamp"] = LONG_AGO
    assert verdict(run("Failed"), [deleted]).outcome is Outcome.PREEMPTED


@pytest.mark.parametrize(
    ("job", "pods", "own_command", "outcome"),
    [
        (run("Complete"), [ended(0, SUCCESS)], False, Outcome.SUCCEEDED),
        (run(), [ended(0, SUCCESS)], False, Outcome.ENDING),
        (deleting(), [ended(0, SUCCESS)], False, Outcome.SUCCEEDED),
        (deleting(), [ended(75)], False, Outcome.WAITING),
        (run("Complete"), [], False, Outcome.PREEMPTED),
        (run("Complete"), [ended(0)], True, Outcome.SUCCEEDED),
        (run("Complete"), [ended(0)], False, Outcome.RETRY),
        (run("Complete", nodes=2), [ended(0, name="p1"), ended(0, SUCCESS)], False, Outcome.SUCCEEDED),
        (run(nodes=2), [ended(0, SUCCESS), running("p1")], False, Outcome.ENDING),
    ],
)
def test_success_needs_a_result(
    job: dict[str, Any], pods: list[dict[str, Any]], own_command: bool, outcome: Outcome
) -> None:
    assert verdict(job, pods, own_command).outcome is outcome


@pytest.mark.parametrize(
    ("job", "pods", "outcome", "reason"),
    [
        (run(), [], Outcome.WAITING, "PodsPending"),
        (run(), [pod()], Outcome.WAITING, "PodPending"),
        (run(), [running()], Outcome.RUNNING, "Running"),
        (run(nodes=2), [running()], Outcome.WAITING, "PodsPending"),
        (run(nodes=2), [running(), pod("p1")], Outcome.WAITING, "PodPending"),
        (run(), [running(deleted_at="2026-01-01T12:00:30Z")], Outcome.WAITING, "PodsPending"),
        (run(), [running(deleted_at=LONG_AGO)], Outcome.PREEMPTED, "NodeLost"),
        (run(), [waits("ContainerCreating")], Outcome.WAITING, "ContainerCreating"),
        (run(), [waits("ErrImagePull")], Outcome.WAITING, "ErrImagePull"),
        (run(), [waits("ErrImagePull", LONG_AGO)], Outcome.FAILED, "ImagePullFailed"),
        (run(), [waits("InvalidImageName")], Outcome.FAILED, "ImagePullFailed"),
        (run(), [waits("CreateContainerConfigError", LONG_AGO)], Outcome.FAILED, "PodRefused"),
        (run(), [waits("ContainerCreating", LONG_AGO)], Outcome.WAITING, "ContainerCreating"),
        (run(suspend=True), [], Outcome.WAITING, "WaitingForKueue"),
        (run(), [ended(1)], Outcome.ENDING, ""),
        (run(), [ended(143, disrupted=True), running("p1")], Outcome.RUNNING, "Running"),
    ],
)
def test_a_run_that_goes_on_is_described(
    job: dict[str, Any], pods: list[dict[str, Any]], outcome: Outcome, reason: str
) -> None:
    judged = verdict(job, pods)
    assert (judged.outcome, judged.reason) == (outcome, reason)


def test_a_job_that_gets_no_pod_is_refused_after_a_while() -> None:
    old = run()
    old["metadata"]["creationTimestamp"] = LONG_AGO
    judged = verdict(old, [])
    assert (judged.outcome, judged.reason) == (Outcome.FAILED, "PodRefused")
    assert "kubectl describe job demo-a1" in judged.message
