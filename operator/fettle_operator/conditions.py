"""Conditions and the phase that follows from them. Pure."""

from datetime import datetime
from enum import StrEnum
from typing import Literal

from fettle_schema.reasons import Reason
from fettle_schema.status import Condition
from fettle_schema.vocabulary import ConditionType, FailureCode, Phase

Status = Literal["True", "False", "Unknown"]


def set_condition(
    conditions: list[Condition],
    condition_type: StrEnum,
    status: Status,
    reason: str,
    message: str,
    *,
    now: datetime,
    generation: int,
) -> list[Condition]:
    """The conditions with one of them set; `lastTransitionTime` moves only when `status` changes."""
    before = find(conditions, condition_type)
    unchanged = before is not None and before.status == status
    after = Condition(
        type=condition_type.value,
        status=status,
        reason=str(reason),
        message=message[:32768],
        last_transition_time=before.last_transition_time if before is not None and unchanged else now,
        observed_generation=generation,
    )
    if before is None:
        return [*conditions, after]
    return [after if condition is before else condition for condition in conditions]


def find(conditions: list[Condition], condition_type: StrEnum) -> Condition | None:
    """The condition of a type, if it was ever set."""
    return next((condition for condition in conditions if condition.type == condition_type), None)


def is_true(conditions: list[Condition], condition_type: StrEnum) -> bool:
    """Whether a condition is set and holds."""
    condition = find(conditions, condition_type)
    return condition is not None and condition.status == "True"


def is_finished(conditions: list[Condition]) -> bool:
    """Whether nothing may ever be started again."""
    return is_true(conditions, ConditionType.COMPLETE) or is_true(conditions, ConditionType.FAILED)


def is_job_created(conditions: list[Condition]) -> bool:
    """Whether the Job of the newest attempt was created, as far as was written down."""
    condition = find(conditions, ConditionType.PODS_READY)
    return condition is not None and condition.reason != Reason.NOT_CREATED


def phase(conditions: list[Condition]) -> tuple[Phase, str, str]:
    """Phase, reason and message for people; the first rule that matches decides."""
    for condition_type, status, result in _RULES:
        condition = find(conditions, condition_type)
        if condition is None or condition.status != status:
            continue
        if result is Phase.FAILED and condition.reason == FailureCode.CANCELLED:
            return Phase.CANCELLED, condition.reason, condition.message
        if result is Phase.STARTING:
            return _starting(conditions, condition)
        return result, condition.reason, condition.message
    return Phase.PENDING, Phase.PENDING.value, ""


_RULES: tuple[tuple[ConditionType, Status, Phase], ...] = (
    (ConditionType.FAILED, "True", Phase.FAILED),
    (ConditionType.COMPLETE, "True", Phase.SUCCEEDED),
    (ConditionType.SUSPENDED, "True", Phase.SUSPENDED),
    (ConditionType.RUNNING, "True", Phase.RUNNING),
    (ConditionType.ACCEPTED, "False", Phase.PENDING),
    (ConditionType.ADMITTED, "True", Phase.STARTING),
    (ConditionType.ADMITTED, "False", Phase.QUEUED),
)


def _starting(conditions: list[Condition], admitted: Condition) -> tuple[Phase, str, str]:
    pods = find(conditions, ConditionType.PODS_READY)
    if pods is None or pods.reason == Reason.NOT_CREATED:
        running = find(conditions, ConditionType.RUNNING)
        shown = running if running is not None and running.message else admitted
        return Phase.STARTING, shown.reason, shown.message
    is_held = pods.reason == Reason.WAITING_FOR_KUEUE
    return (Phase.QUEUED if is_held else Phase.STARTING), pods.reason, pods.message
