"""`status` of a pod, as a kubelet reports it. Pure."""

from typing import Any

from fettle_client.protocol import Manifest
from fettle_local.runner.pod_directory import ExitRecord

POD_FINALIZER = "fettle.dev/process"
"""Held by every pod of ours until its process is gone and its directory is removed."""


def is_finished(pod: Manifest) -> bool:
    """Whether the pod has run and will not run again."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_disrupted(pod: Manifest) -> bool:
    """Whether the pod was taken away rather than failed."""
    conditions = (pod.get("status") or {}).get("conditions", [])
    return any(condition["type"] == "DisruptionTarget" and condition["status"] == "True" for condition in conditions)


def unschedulable(message: str, now: str) -> Manifest:
    """The pod cannot run here now."""
    return {"phase": "Pending", "conditions": [_condition("PodScheduled", False, now, "Unschedulable", message)]}


def waiting(container: str, reason: str, message: str, now: str) -> Manifest:
    """The pod is placed, but something that it needs is missing."""
    state = {"waiting": {"reason": reason, "message": message}}
    return {
        "phase": "Pending",
        "conditions": [_condition("PodScheduled", True, now), _condition("Ready", False, now, "ContainersNotReady")],
        "containerStatuses": [_container(container, state, ready=False)],
    }


def running(container: str, started_at: str) -> Manifest:
    """The process runs."""
    return {
        "phase": "Running",
        "startTime": started_at,
        "conditions": [_condition("PodScheduled", True, started_at), _condition("Ready", True, started_at)],
        "containerStatuses": [_container(container, {"running": {"startedAt": started_at}}, ready=True)],
    }


def refused(message: str, now: str) -> Manifest:
    """The pod asks for what this machine does not have."""
    return {
        "phase": "Failed",
        "reason": "PodRefused",
        "message": message,
        "conditions": [_condition("PodScheduled", True, now), _condition("Ready", False, now, "PodFailed")],
    }


def ended(container: str, record: ExitRecord, message: str, disrupted: bool) -> Manifest:
    """The process has ended; `disrupted` when the engine stopped or died under it."""
    is_success = record.exit_code == 0
    state: dict[str, Any] = {
        "exitCode": record.exit_code,
        "reason": "Completed" if is_success else "Error",
        "startedAt": record.started_at,
        "finishedAt": record.finished_at,
    }
    if message:
        state["message"] = message
    conditions = [
        _condition("PodScheduled", True, record.started_at),
        _condition("Ready", False, record.finished_at, "PodCompleted" if is_success else "PodFailed"),
    ]
    if disrupted and not is_success:
        reason = "The engine of this machine stopped while the run was going on."
        conditions.append(_condition("DisruptionTarget", True, record.finished_at, "EngineStopped", reason))
    return {
        "phase": "Succeeded" if is_success else "Failed",
        "startTime": record.started_at,
        "conditions": conditions,
        "containerStatuses": [_container(container, {"terminated": state}, ready=False)],
    }


def _condition(kind: str, holds: bool, now: str, reason: str = "", message: str = "") -> Manifest:
    condition = {"type": kind, "status": "True" if holds else "False", "lastTransitionTime": now}
    return {**condition, **({"reason": reason} if reason else {}), **({"message": message} if message else {})}


def _container(name: str, state: dict[str, Any], ready: bool) -> Manifest:
    return {"name": name, "ready": ready, "restartCount": 0, "image": "", "imageID": "", "state": state}
