"""What to do next for one job: from what is observed to a Plan. Pure, idempotent, right after a crash anywhere."""

from collections.abc import Callable
from datetime import datetime

from fettle_operator import conditions
from fettle_operator.acceptance import adapter_conflict, invalidity, obstacle
from fettle_operator.accounting import active_seconds, close_interval, running_since
from fettle_operator.attempts import follow, note_creation, prepare, start
from fettle_operator.draft import Draft
from fettle_operator.endings import cancelled, end
from fettle_operator.observation import Observation
from fettle_operator.plan import Deletion, Plan
from fettle_operator.preflight import preflight
from fettle_operator.settings import OperatorSettings
from fettle_operator.verdict import Outcome, is_ended, judge
from fettle_schema.failures import build_failure
from fettle_schema.names import PREFLIGHT_ATTEMPT
from fettle_schema.reasons import Reason
from fettle_schema.vocabulary import ConditionType, FailureCode


def reconcile(observation: Observation, now: datetime, settings: OperatorSettings) -> Plan:
    """The next step of one job. The first step below that ends the pass decides."""
    if observation.job["metadata"].get("deletionTimestamp"):
        return Plan()
    draft = Draft(observation, now, settings)
    if conditions.is_finished(draft.status.conditions):
        return _retain(draft)
    for step in _STEPS:
        if step(draft):
            break
    plan = draft.finish()
    return _noted(observation, now, settings) if plan.delete and _is_unnoted(observation) else plan


def _is_unnoted(observation: Observation) -> bool:
    """Whether the newest attempt has a Job and the status does not say so."""
    attempts = observation.status.attempts
    is_attempt = attempts is not None and attempts.current > PREFLIGHT_ATTEMPT and observation.has_run
    return is_attempt and not conditions.is_job_created(observation.status.conditions)


def _noted(observation: Observation, now: datetime, settings: OperatorSettings) -> Plan:
    """Only that: after a crash between the deletion of its Job and the status the same attempt would be made again."""
    draft = Draft(observation, now, settings)
    note_creation(draft)
    return draft.finish()


def _retain(draft: Draft) -> Plan:
    """Finished: nothing is started or reported again. What a slower leader may have started is stopped."""
    draft.stop_run()
    ttl, completed = _ttl_seconds(draft), draft.status.completion_time
    if ttl is not None and completed is not None:
        left = ttl - (draft.now - completed).total_seconds()
        if left > 0:
            draft.plan.look_again(left)
        else:
            draft.plan.delete.append(Deletion("TrainingJob", draft.observation.name, draft.observation.uid))
    return draft.plan


def _ttl_seconds(draft: Draft) -> int | None:
    limits = draft.observation.job.get("spec", {}).get("limits") or {}
    ttl = limits.get("ttlSecondsAfterFinished")
    return ttl if isinstance(ttl, int) else None


def _ending(draft: Draft) -> bool:
    """A failure was decided on; it stands, whatever else happens until the run has stopped."""
    if draft.status.failure is None:
        return False
    end(draft, draft.status.failure)
    return True


def _validate(draft: Draft) -> bool:
    accepted = draft.find(ConditionType.ACCEPTED)
    is_known = accepted is not None and accepted.observed_generation == draft.observation.generation
    if is_known and draft.holds(ConditionType.ACCEPTED):
        return False
    failure = invalidity(draft.observation.job)
    if failure is None:
        return False
    draft.set(ConditionType.ACCEPTED, "False", Reason.INVALID, failure.message)
    draft.status.failure = failure
    if draft.stop_run():
        draft.set(ConditionType.FAILED, "True", failure.code, failure.message)
        draft.status.completion_time = draft.now
    return True


def _cancel(draft: Draft) -> bool:
    if not draft.spec.cancel:
        return False
    end(draft, cancelled(draft))
    return True


def _suspend(draft: Draft) -> bool:
    if not draft.spec.suspend:
        _resume(draft)
        return False
    if draft.holds(ConditionType.SUSPENDED):
        draft.stop_run()  # what a slower leader may have started
        return True
    if _has_verdict(draft):
        return False
    pods = draft.observation.pods_of(draft.attempt)
    if not draft.stop_run():
        message = "the run is asked to save a checkpoint and stop"
        draft.set(ConditionType.SUSPENDED, "False", Reason.SUSPENDING, message)
        return True
    message = "suspended; set spec.suspend to false to continue"
    if draft.attempt:
        close_interval(draft, pods, is_wasted=True, reason=Reason.SUSPENDED, message="")
        if conditions.is_job_created(draft.status.conditions):
            draft.set(ConditionType.PODS_READY, "False", Reason.SUSPENDED)
    draft.set(ConditionType.ADMITTED, "False", Reason.SUSPENDED, message)
    draft.set(ConditionType.SUSPENDED, "True", Reason.SUSPENDED, message)
    return True


def _resume(draft: Draft) -> None:
    if draft.find(ConditionType.SUSPENDED) is not None:
        draft.set(ConditionType.SUSPENDED, "False", Reason.RESUMED)


def _has_verdict(draft: Draft) -> bool:
    """Whether the run ended by itself, so that there is nothing left to suspend."""
    if draft.run is None or draft.attempt == PREFLIGHT_ATTEMPT:
        return False
    verdict = judge(
        draft.run,
        draft.observation.pods_of(draft.attempt),
        draft.now,
        draft.patience,
        attempt=draft.attempt,
        brings_own_command=draft.spec.runtime.command is not None,
    )
    is_final = verdict.outcome is Outcome.FAILED and is_ended(draft.run)
    return verdict.outcome is Outcome.SUCCEEDED or is_final


def _accept(draft: Draft) -> bool:
    """Before the first attempt, and again before each one after a suspension."""
    if draft.holds(ConditionType.ADMITTED):
        _accepted(draft)
        return False
    conflict = adapter_conflict(draft.observation)
    if conflict is not None:
        end(draft, conflict)
        return True
    obstruction = obstacle(draft.observation, draft.settings)
    if obstruction is not None:
        draft.set(ConditionType.ACCEPTED, "False", obstruction.reason, obstruction.message)
        draft.plan.look_again(draft.settings.source_check_seconds)
        return True
    if preflight(draft):
        return True
    _accepted(draft)
    return False


def _accepted(draft: Draft) -> None:
    """What the preflight had to say stays the message."""
    before = draft.find(ConditionType.ACCEPTED)
    message = before.message if before is not None and before.status == "True" else ""
    draft.set(ConditionType.ACCEPTED, "True", Reason.ACCEPTED, message)


def _keep_deadlines(draft: Draft) -> bool:
    return _pending_deadline(draft) or _active_deadline(draft)


def _pending_deadline(draft: Draft) -> bool:
    """Waiting to start for the first time; time in suspension does not count."""
    limit = draft.spec.limits.pending_deadline_seconds
    if limit is None or draft.status.start_time is not None or draft.spec.suspend:
        return False
    created = datetime.fromisoformat(draft.observation.job["metadata"]["creationTimestamp"])
    resumed = draft.find(ConditionType.SUSPENDED)
    since = max(created, resumed.last_transition_time) if resumed is not None else created
    left = limit - (draft.now - since).total_seconds()
    if left > 0:
        draft.plan.look_again(left)
        return False
    phase, reason, message = conditions.phase(draft.status.conditions)
    why = f" ({reason}: {message})" if message else ""
    text = f"The job did not start within {limit} s; it is {phase.value}{why}"
    end(draft, build_failure(FailureCode.PENDING_DEADLINE_EXCEEDED, text, attempt=draft.attempt or None))
    return True


def _active_deadline(draft: Draft) -> bool:
    limit = draft.spec.limits.active_deadline_seconds
    if limit is None or _has_verdict(draft):
        return False
    left = limit - active_seconds(draft)
    if left > 0:
        if running_since(draft) is not None:
            draft.plan.look_again(left)
        return False
    text = f"The job ran for {active_seconds(draft):.0f} s; limits.activeDeadlineSeconds is {limit}."
    end(draft, build_failure(FailureCode.DEADLINE_EXCEEDED, text, attempt=draft.attempt))
    return True


def _admit(draft: Draft) -> bool:
    """Admission is written down before anything is created: this pass ends with it."""
    if draft.holds(ConditionType.ADMITTED):
        return False
    kueue_queue = draft.spec.scheduling.kueue_queue
    decision = draft.observation.admission
    if kueue_queue is not None:
        draft.set(ConditionType.ADMITTED, "True", Reason.KUEUE, f"left to Kueue's queue {kueue_queue!r}")
    elif decision is not None and decision.is_admitted:
        draft.set(ConditionType.ADMITTED, "True", decision.reason, decision.message)
    else:
        reason, message = (decision.reason, decision.message) if decision else (Reason.QUEUED, "waiting for its queue")
        draft.set(ConditionType.ADMITTED, "False", reason, message)
        return True
    prepare(draft)
    return True


def _follow(draft: Draft) -> bool:
    follow(draft)
    return True


_STEPS: tuple[Callable[[Draft], bool], ...] = (
    _validate,
    _ending,
    _cancel,
    _suspend,
    _keep_deadlines,
    _accept,
    _admit,
    start,
    _follow,
)
"""DESIGN §4. Validation stands before what reads the spec."""
