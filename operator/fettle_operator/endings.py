"""How a job ends. Pure.

A job that fails while something of it still runs is first marked by `status.failure`, then stopped, and only then
Failed: its place in the queue is free when its pods are gone, and a crash in between loses nothing.
"""

from fettle_operator.accounting import close_interval
from fettle_operator.conditions import Status
from fettle_operator.draft import Draft
from fettle_schema.reasons import Reason
from fettle_schema.status import Failure
from fettle_schema.vocabulary import ConditionType, FailureCode


def end(draft: Draft, failure: Failure) -> None:
    """Stop what runs; once nothing does, Failed=True."""
    draft.status.failure = failure
    pods = draft.observation.pods_of(draft.attempt)
    if not draft.stop_run():
        status: Status = "True" if draft.holds(ConditionType.RUNNING) else "False"
        draft.set(ConditionType.RUNNING, status, Reason.STOPPING, failure.message)
        draft.set(ConditionType.FAILED, "False", Reason.STOPPING, failure.message)
        return
    close_interval(draft, pods, is_wasted=True, reason=Reason.STOPPED, message="")
    _close(draft)
    draft.set(ConditionType.FAILED, "True", failure.code, failure.message)


def complete(draft: Draft, message: str) -> None:
    """Complete=True."""
    pods = draft.observation.pods_of(draft.attempt)
    close_interval(draft, pods, is_wasted=False, reason=Reason.FINISHED, message="")
    _close(draft)
    draft.set(ConditionType.COMPLETE, "True", Reason.SUCCEEDED, message)


def cancelled(draft: Draft) -> Failure:
    """The failure of a job that was cancelled."""
    from_attempt = f" during attempt {draft.attempt}" if draft.attempt else " before it ran"
    return Failure(
        code=FailureCode.CANCELLED.value,
        message=f"cancelled{from_attempt}",
        hint="",
        attempt=draft.attempt or None,
    )


def _close(draft: Draft) -> None:
    if draft.find(ConditionType.PODS_READY) is not None:
        draft.set(ConditionType.PODS_READY, "False", Reason.FINISHED)
    draft.status.completion_time = draft.now
