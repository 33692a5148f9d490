"""How an attempt stands: from its Job, its pods, exit codes and termination messages. Pure.

The reason is the termination message, else the exit code, else the pod's own story. Over several pods the first match
counts: disruption, 71, 70, 64-67, 137 out of memory, 75, anything else.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fettle_operator import pods as pod_facts
from fettle_operator.plan import Manifest
from fettle_schema.failures import build_failure
from fettle_schema.reasons import Reason
from fettle_schema.run import RunResult
from fettle_schema.status import Failure
from fettle_schema.vocabulary import FAILURE_OF_EXIT, SEVERITY, ExitCode, FailureCode

_KILLED = 137
_SIGNALLED = frozenset({_KILLED, 143})
_DISRUPTED_RANK = -1
_NOT_STARTED = frozenset({"StartError", "ContainerCannotRun"})


class Outcome(StrEnum):
    """What an attempt has come to."""

    WAITING = "waiting"
    RUNNING = "running"
    ENDING = "ending"
    """Pods have ended; the Job controller has not written its verdict yet."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Another attempt would fail in the same way."""
    RETRY = "retry"
    PREEMPTED = "preempted"


@dataclass(frozen=True)
class Verdict:
    """How an attempt stands, and why."""

    outcome: Outcome
    reason: str = ""
    message: str = ""
    failure: Failure | None = None
    result: RunResult | None = None


@dataclass(frozen=True)
class Patience:
    """How long things may take."""

    pod_start_seconds: float
    lost_seconds: float
    replaced_since: datetime | None = None
    """Since when pods that the run had are gone; None while none was seen."""


def judge(
    run: Manifest, pods: list[Manifest], now: datetime, patience: Patience, *, attempt: int, brings_own_command: bool
) -> Verdict:
    """The verdict on one attempt whose Job exists."""
    end = _job_end(run)
    if end == "Complete" or (run["metadata"].get("deletionTimestamp") and _all_succeeded(run, pods)):
        return _success(pods, attempt, brings_own_command)
    if end == "Failed":
        return _failed(run, pods, attempt)
    if any(pod_facts.is_lost(pod, now, patience.lost_seconds) for pod in pods):
        return _lost(f"a pod did not stop within its grace period and {patience.lost_seconds:.0f} s", attempt)
    if run["metadata"].get("deletionTimestamp"):
        return Verdict(Outcome.WAITING, Reason.STOPPING, "the run is being stopped")
    return _live(run, pods, now, patience, attempt)


def vanished(attempt: int) -> Verdict:
    """The verdict on an attempt whose Job was deleted by somebody else."""
    return _lost("the Job of the run was deleted", attempt)


def is_ended(run: Manifest) -> bool:
    """Whether the Job has a final condition: all its pods have ended."""
    return _job_end(run) is not None


def result_of(pods: list[Manifest]) -> RunResult | None:
    """The termination message of the pods that says most: the one with an output, else with the most steps."""
    results = [result for pod in pods if (result := pod_facts.run_result(pod)) is not None]
    return max(results, key=lambda result: (result.output is not None, result.step), default=None)


def _job_end(run: Manifest) -> str | None:
    for condition in (run.get("status") or {}).get("conditions") or []:
        if condition.get("type") in ("Complete", "Failed") and condition.get("status") == "True":
            return str(condition["type"])
    return None


def _all_succeeded(run: Manifest, pods: list[Manifest]) -> bool:
    succeeded = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Succeeded"]
    wanted = int((run.get("spec") or {}).get("completions") or 1)
    return len(succeeded) >= wanted and result_of(succeeded) is not None


def _success(pods: list[Manifest], attempt: int, brings_own_command: bool) -> Verdict:
    result = result_of([pod for pod in pods if _exit_code(pod) == ExitCode.DONE])
    if result is not None:
        return Verdict(Outcome.SUCCEEDED, Reason.SUCCEEDED, _success_message(result), result=result)
    if not pods:
        return _lost("the run ended, but its pod was gone before its result was read; it is read again", attempt)
    if brings_own_command:
        message = "spec.runtime.command ended with exit code 0 and reported no result: no Adapter was made"
        return Verdict(Outcome.SUCCEEDED, Reason.SUCCEEDED, message)
    failure = build_failure(
        FailureCode.TRAINER_ERROR,
        "The trainer ended with exit code 0 but left no result.",
        exit_code=0,
        attempt=attempt,
    )
    return Verdict(Outcome.RETRY, failure.code, failure.message, failure)


def _success_message(result: RunResult) -> str:
    return f"trained {result.step} steps" if result.step else "finished"


def _failed(run: Manifest, pods: list[Manifest], attempt: int) -> Verdict:
    ended = [pod for pod in pods if pod_facts.is_terminal(pod)]
    if not ended:
        return _lost("the pod was deleted before its verdict was read", attempt)
    return _pod_verdict(min(ended, key=_rank), result_of(ended), attempt)


def _rank(pod: Manifest) -> int:
    code = _exit_code(pod)
    if pod_facts.is_disrupted(pod) or code == ExitCode.CHECKPOINTED:
        return _DISRUPTED_RANK
    if code == ExitCode.DONE:
        return len(SEVERITY) + 1
    return SEVERITY.index(code) if code in SEVERITY else len(SEVERITY)


def _exit_code(pod: Manifest) -> int | None:
    state = pod_facts.terminated(pod)
    return None if state is None else int(state.get("exitCode", 1))


def _pod_verdict(pod: Manifest, result: RunResult | None, attempt: int) -> Verdict:
    name, code, state = pod["metadata"]["name"], _exit_code(pod), pod_facts.terminated(pod) or {}
    own_result = pod_facts.run_result(pod)
    if code == ExitCode.CHECKPOINTED or pod_facts.is_disrupted(pod):
        message = (pod.get("status") or {}).get("message") or f"pod {name!r} was taken away"
        return Verdict(Outcome.PREEMPTED, Reason.PREEMPTED, message, result=result)
    if code in _SIGNALLED and own_result is None and pod["metadata"].get("deletionTimestamp"):
        return Verdict(Outcome.PREEMPTED, Reason.POD_DELETED, f"pod {name!r} was deleted", result=result)
    failure_code, message = _pod_story(pod, code, state)
    failure = build_failure(failure_code, message, exit_code=code, pod=name, attempt=attempt)
    if own_result is not None and own_result.failure is not None:
        failure = _told(own_result.failure, failure)
    final = _is_final(code) or failure_code is FailureCode.POD_REFUSED
    return Verdict(Outcome.FAILED if final else Outcome.RETRY, failure.code, failure.message, failure, result)


def _is_final(code: int | None) -> bool:
    return code in set(ExitCode) and ExitCode(code).is_final


def _told(told: Failure, usual: Failure) -> Failure:
    """What the trainer says, in our vocabulary, with what only we know."""
    code = FailureCode(told.code) if told.code in set(FailureCode) else FailureCode(usual.code)
    return build_failure(
        code, told.message, hint=told.hint or None, exit_code=usual.exit_code, pod=usual.pod, attempt=usual.attempt
    )


def _pod_story(pod: Manifest, code: int | None, state: Manifest) -> tuple[FailureCode, str | None]:
    reason, text = state.get("reason"), state.get("message")
    if reason == "OOMKilled":
        return FailureCode.OUT_OF_MEMORY_KILLED, None
    if reason in _NOT_STARTED:
        return FailureCode.POD_REFUSED, f"The container could not be started: {text or reason}"
    if code is None:
        status = pod.get("status") or {}
        story = status.get("message") or status.get("reason") or "no reason given"
        if status.get("reason") == FailureCode.POD_REFUSED:
            return FailureCode.POD_REFUSED, story
        return FailureCode.INFRASTRUCTURE, f"The pod failed before the trainer ran: {story}"
    if code in set(ExitCode):
        return FAILURE_OF_EXIT.get(ExitCode(code), FailureCode.TRAINER_ERROR), None
    if code in _SIGNALLED:
        return FailureCode.INFRASTRUCTURE, f"The trainer was killed from outside (exit code {code})."
    return FailureCode.TRAINER_ERROR, f"The trainer stopped with exit code {code}."


def _lost(message: str, attempt: int) -> Verdict:
    failure = build_failure(FailureCode.NODE_LOST, f"Attempt {attempt}: {message}.", attempt=attempt)
    return Verdict(Outcome.PREEMPTED, FailureCode.NODE_LOST.value, failure.message, failure)


def _live(run: Manifest, pods: list[Manifest], now: datetime, patience: Patience, attempt: int) -> Verdict:
    spec = run.get("spec") or {}
    if spec.get("suspend"):
        return Verdict(Outcome.WAITING, Reason.WAITING_FOR_KUEUE, "waiting for Kueue to admit the Job")
    replaced = int(spec.get("completions") or 1) == 1
    if any(pod_facts.is_terminal(pod) and not (replaced and pod_facts.is_disrupted(pod)) for pod in pods):
        return Verdict(Outcome.ENDING)
    current = [pod for pod in pods if not pod_facts.is_terminal(pod) and not pod["metadata"].get("deletionTimestamp")]
    if any(pod_facts.terminated(pod) for pod in current):  # the kubelet says so before it changes the pod's phase
        return Verdict(Outcome.ENDING)
    if len(current) >= int(spec.get("parallelism") or 1) and all(map(pod_facts.is_running, current)):
        return Verdict(Outcome.RUNNING, Reason.RUNNING, f"attempt {attempt} is running")
    stories = [(pod_facts.waiting(pod), pod) for pod in current if not pod_facts.is_running(pod)]
    for story, pod in stories:
        age = (now - (pod_facts.scheduled_at(pod) or now)).total_seconds()
        is_hopeless = story.reason == "InvalidImageName" or age > patience.pod_start_seconds
        if (story.is_image or story.is_refused) and is_hopeless:
            code = FailureCode.IMAGE_PULL if story.is_image else FailureCode.POD_REFUSED
            failure = build_failure(
                code, f"{story.reason}: {story.message}", pod=pod["metadata"]["name"], attempt=attempt
            )
            return Verdict(Outcome.FAILED, failure.code, failure.message, failure)
    if stories:
        stories.sort(key=lambda item: not (item[0].is_image or item[0].is_refused))
        return Verdict(Outcome.WAITING, stories[0][0].reason, stories[0][0].message)
    return _without_pods(run, pods, now, patience, attempt)


def _without_pods(run: Manifest, pods: list[Manifest], now: datetime, patience: Patience, attempt: int) -> Verdict:
    name = run["metadata"]["name"]
    since = max(filter(None, (_due_since(run), patience.replaced_since)), default=now)
    if pods or (now - since).total_seconds() <= patience.pod_start_seconds:
        if patience.replaced_since is not None:
            return Verdict(Outcome.WAITING, Reason.PREEMPTED, f"the pod was taken away; Job {name!r} makes another")
        return Verdict(Outcome.WAITING, Reason.PODS_PENDING, f"Job {name!r} has no running pod yet")
    message = f"Job {name!r} got no pod: see `kubectl describe job {name}` (quota, Pod Security)"
    failure = build_failure(FailureCode.POD_REFUSED, message, attempt=attempt)
    return Verdict(Outcome.FAILED, failure.code, failure.message, failure)


def _due_since(run: Manifest) -> datetime | None:
    """When its pods should have been there; None while the Job controller has not taken up what was resumed."""
    status = run.get("status") or {}
    conditions = status.get("conditions") or []
    if any(c.get("type") == "Suspended" and c.get("status") == "True" for c in conditions):
        return None
    return pod_facts.parse_time(status.get("startTime") or run["metadata"].get("creationTimestamp"))
