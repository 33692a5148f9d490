"""Reading one pod: whether it lives, why it waits, how it ended. Pure; decides nothing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from fettle_operator.plan import Manifest
from fettle_schema.names import CONTAINER_NAME
from fettle_schema.reasons import Reason
from fettle_schema.run import RunResult

IMAGE_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"}
)
REFUSED_REASONS = frozenset(
    {"CreateContainerConfigError", "CreateContainerError", "RunContainerError", "CrashLoopBackOff"}
)
DISRUPTED_REASONS = frozenset({"Evicted", "NodeLost", "NodeShutdown", "Shutdown", "Terminated", "Preempting"})


@dataclass(frozen=True)
class Waiting:
    """Why a pod's trainer does not run yet."""

    reason: str
    message: str
    is_image: bool = False
    is_refused: bool = False


def parse_time(value: str | None) -> datetime | None:
    """A Kubernetes time."""
    return datetime.fromisoformat(value) if value else None


def is_terminal(pod: Manifest) -> bool:
    """Whether its containers have ended for good."""
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def is_lost(pod: Manifest, now: datetime, lost_seconds: float) -> bool:
    """Whether it should be gone since `lost_seconds`: deletionTimestamp is when its grace period is over."""
    deadline = parse_time(pod["metadata"].get("deletionTimestamp"))
    return deadline is not None and (now - deadline).total_seconds() > lost_seconds


def is_live(pod: Manifest, now: datetime, lost_seconds: float) -> bool:
    """Whether its containers may still be at work, or it was deleted and is still there."""
    is_leaving = bool(pod["metadata"].get("deletionTimestamp"))
    return (is_leaving or not is_terminal(pod)) and not is_lost(pod, now, lost_seconds)


def is_running(pod: Manifest) -> bool:
    """Whether the trainer's container runs."""
    return "running" in _container_state(pod)


def is_disrupted(pod: Manifest) -> bool:
    """Whether the cluster took it away."""
    status = pod.get("status") or {}
    conditions = status.get("conditions") or []
    marked = any(c.get("type") == "DisruptionTarget" and c.get("status") == "True" for c in conditions)
    return marked or status.get("reason") in DISRUPTED_REASONS


def terminated(pod: Manifest) -> dict[str, Any] | None:
    """`state.terminated` of the trainer's container."""
    state = _container_state(pod).get("terminated")
    return state if isinstance(state, dict) else None


def run_result(pod: Manifest) -> RunResult | None:
    """The termination message, if the trainer left one."""
    message = (terminated(pod) or {}).get("message")
    if not message:
        return None
    try:
        return RunResult.model_validate_json(message)
    except ValidationError:
        return None


def scheduled_at(pod: Manifest) -> datetime | None:
    """When it was given to a node."""
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "True":
            return parse_time(condition.get("lastTransitionTime"))
    return parse_time((pod.get("status") or {}).get("startTime"))


def started_at(pod: Manifest) -> datetime | None:
    """When the trainer's container started."""
    state = _container_state(pod)
    return parse_time((state.get("running") or state.get("terminated") or {}).get("startedAt"))


def finished_at(pod: Manifest) -> datetime | None:
    """When it ended."""
    return parse_time((terminated(pod) or {}).get("finishedAt"))


def waiting(pod: Manifest) -> Waiting:
    """Why the trainer does not run yet, in the words of scheduler or kubelet."""
    state = _container_state(pod).get("waiting") or {}
    reason, message = state.get("reason", ""), state.get("message") or ""
    if reason in IMAGE_REASONS:
        return Waiting(reason, message or "the image cannot be pulled", is_image=True)
    if reason in REFUSED_REASONS:
        return Waiting(reason, message or "the container cannot be started", is_refused=True)
    for condition in (pod.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "PodScheduled" and condition.get("status") == "False":
            return Waiting(condition.get("reason") or "Unschedulable", condition.get("message") or "not scheduled yet")
    return Waiting(reason or Reason.POD_PENDING, message or f"pod {pod['metadata']['name']!r} is starting")


def _container_state(pod: Manifest) -> dict[str, Any]:
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        if status.get("name") == CONTAINER_NAME:
            state = status.get("state")
            return state if isinstance(state, dict) else {}
    return {}
