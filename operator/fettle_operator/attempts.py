"""One attempt after another: start it, follow it, repeat it or conclude. Pure."""

from dataclasses import replace
from datetime import datetime

from fettle_operator.acceptance import obstacle
from fettle_operator.accounting import book_step, close_interval, count_replaced_pods
from fettle_operator.builders import build_config_map, build_job, build_run_config, build_service, config_digest
from fettle_operator.builders.pod import grace_period_seconds
from fettle_operator.conditions import is_job_created
from fettle_operator.draft import Draft
from fettle_operator.endings import end
from fettle_operator.kueue import own_reason, waiting_story
from fettle_operator.observation import Refusal
from fettle_operator.plan import Manifest
from fettle_operator.pods import parse_time
from fettle_operator.publication import conclude
from fettle_operator.verdict import Outcome, Verdict, judge, vanished
from fettle_schema.failures import build_failure
from fettle_schema.reasons import Reason
from fettle_schema.run import RunConfig
from fettle_schema.status import Failure, Resolved
from fettle_schema.vocabulary import ConditionType, FailureCode

MAX_WITHOUT_PROGRESS = 3
MAX_BACKOFF_SECONDS = 300.0
_LEFTOVER_CHECK_SECONDS = 2.0
_WAITING_CHECK_SECONDS = 30.0
_SETTLE_SECONDS = 1.0
"""A pod is made, and scheduled or not, within a second of its Job: the status says that at once instead of thrice."""


def prepare(draft: Draft) -> None:
    """The job was admitted: number its next attempt. Nothing is created before this is written."""
    if draft.attempt == 0 or is_job_created(draft.status.conditions):
        draft.attempts.current += 1
    message = f"attempt {draft.attempt} is being created"
    draft.set(ConditionType.PODS_READY, "False", Reason.NOT_CREATED, message)
    draft.set(ConditionType.RUNNING, "False", Reason.STARTING, message)


def start(draft: Draft) -> bool:
    """Create the run of the newest attempt if it does not exist. True if this pass ends here."""
    if draft.run is not None:
        return False
    refusal = draft.observation.refusal
    if refusal is not None:
        refused(draft, refusal)
        return True
    if is_job_created(draft.status.conditions):
        if draft.live_pods:
            draft.plan.look_again(_LEFTOVER_CHECK_SECONDS)
        else:
            _again(draft, vanished(draft.attempt))
        return True
    if not (is_held_back(draft) or _is_too_early(draft)):
        _create(draft)
    return True


def refused(draft: Draft, refusal: Refusal) -> None:
    """The API server did not take a child: for ever, or for now."""
    if refusal.is_final:
        return end(draft, build_failure(FailureCode.POD_REFUSED, refusal.message, attempt=draft.attempt))
    draft.set(ConditionType.RUNNING, "False", Reason.CREATE_FORBIDDEN, refusal.message)
    return draft.plan.look_again(draft.settings.source_check_seconds)


def follow(draft: Draft) -> None:
    """Read the run of the newest attempt and do what its verdict asks for."""
    run = draft.run
    if run is None:
        return
    pods, attempt = draft.observation.pods_of(draft.attempt), draft.attempt
    own_command = draft.spec.runtime.command is not None
    note_creation(draft)
    verdict = judge(run, pods, draft.now, draft.patience, attempt=attempt, brings_own_command=own_command)
    _resolve(draft, run_config_of(draft), run)
    if draft.observation.status.checkpoints:
        newest = draft.observation.status.checkpoints[-1]
        draft.set(
            ConditionType.CHECKPOINT_AVAILABLE, "True", Reason.SAVED, f"{newest.name} of attempt {newest.attempt}"
        )
    match verdict.outcome:
        case Outcome.WAITING | Outcome.RUNNING:
            if verdict.reason == Reason.WAITING_FOR_KUEUE:
                verdict = _in_kueues_words(draft, verdict, run)
            _watch(draft, verdict, pods)
        case Outcome.ENDING:
            draft.plan.look_again(_WAITING_CHECK_SECONDS)
        case Outcome.SUCCEEDED:
            conclude(draft, verdict)
        case Outcome.FAILED:
            end(draft, verdict.failure or build_failure(FailureCode.TRAINER_ERROR, attempt=attempt))
        case Outcome.RETRY | Outcome.PREEMPTED:
            _again(draft, verdict)


def note_creation(draft: Draft) -> None:
    """The status is written when there is something to say about what was created: here."""
    if not is_job_created(draft.status.conditions):
        message = f"attempt {draft.attempt} was created"
        draft.set(ConditionType.PODS_READY, "False", Reason.PODS_PENDING, message)
        draft.set(ConditionType.RUNNING, "False", Reason.STARTING, message)


def _in_kueues_words(draft: Draft, verdict: Verdict, run: Manifest) -> Verdict:
    workload = draft.observation.workload
    if own_reason(workload) is None:
        draft.plan.look_again(draft.settings.source_check_seconds)
    return replace(verdict, message=waiting_story(run, workload))


def _watch(draft: Draft, verdict: Verdict, pods: list[Manifest]) -> None:
    count_replaced_pods(draft)
    if draft.attempts.without_progress >= MAX_WITHOUT_PROGRESS:
        return end(draft, _no_progress(draft, verdict))
    if verdict.outcome is Outcome.RUNNING:
        draft.set(ConditionType.PODS_READY, "True", Reason.RUNNING, verdict.message)
        draft.set(ConditionType.RUNNING, "True", verdict.reason, verdict.message)
        draft.status.start_time = draft.status.start_time or draft.now
        return None
    if draft.holds(ConditionType.RUNNING):
        close_interval(draft, pods, is_wasted=True, reason=verdict.reason, message=verdict.message)
    draft.set(ConditionType.PODS_READY, "False", verdict.reason, verdict.message)
    draft.set(ConditionType.RUNNING, "False", verdict.reason, verdict.message)
    draft.plan.look_again(min(_WAITING_CHECK_SECONDS, draft.settings.pod_start_timeout_seconds))
    return None


def _again(draft: Draft, verdict: Verdict) -> None:
    """The attempt is over and may be repeated."""
    attempts, pods = draft.attempts, draft.observation.pods_of(draft.attempt)
    ended = draft.attempt
    if verdict.outcome is Outcome.PREEMPTED:
        uids = [pod["metadata"]["uid"] for pod in pods]
        if not uids or not set(uids) <= set(attempts.counted_pods):
            attempts.preemptions += 1
            book_step(draft, verdict.result)
            attempts.counted_pods = [*attempts.counted_pods, *uids][-64:]
        if attempts.without_progress >= MAX_WITHOUT_PROGRESS:
            return end(draft, _no_progress(draft, verdict))
    else:
        attempts.failures += 1
        if attempts.failures > draft.spec.limits.max_retries:
            return end(draft, _exhausted(draft, verdict))
    draft.stop_run()
    message = f"attempt {ended} ended ({verdict.reason}): {verdict.message}"
    close_interval(draft, pods, is_wasted=True, reason=Reason.RESTARTING, message=message)
    attempts.current += 1
    draft.set(ConditionType.PODS_READY, "False", Reason.NOT_CREATED, message)
    draft.plan.restart_cause = verdict.reason
    return None


def _no_progress(draft: Draft, verdict: Verdict) -> Failure:
    message = (
        f"The run was taken away {draft.attempts.without_progress} times in a row without a step of progress; "
        f"last: {verdict.message}"
    )
    return build_failure(FailureCode.NO_PROGRESS, message, attempt=draft.attempt)


def _exhausted(draft: Draft, verdict: Verdict) -> Failure:
    """With no retry allowed the failure itself is the reason; else the count is, with the last failure in it."""
    last = verdict.failure or build_failure(FailureCode.TRAINER_ERROR, verdict.message, attempt=draft.attempt)
    if draft.spec.limits.max_retries == 0:
        return last
    count = draft.attempts.failures
    message = f"{count} attempts failed, limits.maxRetries is {count - 1}; last: {last.code}: {last.message}"
    return build_failure(
        FailureCode.RETRIES_EXHAUSTED,
        message,
        hint=last.hint,
        exit_code=last.exit_code,
        pod=last.pod,
        attempt=last.attempt,
    )


def is_held_back(draft: Draft) -> bool:
    """Whether old pods, a missing source or foreign resources are in the way; ends the job if they will stay."""
    if draft.live_pods:
        draft.plan.look_again(_LEFTOVER_CHECK_SECONDS)
        return True
    obstruction = obstacle(draft.observation, draft.settings)
    if obstruction is not None:
        draft.set(ConditionType.RUNNING, "False", obstruction.reason, obstruction.message)
        draft.plan.look_again(draft.settings.source_check_seconds)
        return True
    for manifest in draft.observation.foreign:
        name, kind = manifest["metadata"]["name"], manifest["kind"]
        if _is_leftover(draft, manifest):
            message = f"waiting until {kind} {name!r} of an earlier job of this name is removed"
            draft.set(ConditionType.RUNNING, "False", Reason.WAITING_FOR_CLEANUP, message)
            draft.plan.look_again(_LEFTOVER_CHECK_SECONDS)
        else:
            message = f"{kind} {name!r} exists already and does not belong to this job."
            end(draft, build_failure(FailureCode.NAME_CONFLICT, message, attempt=draft.attempt))
        return True
    return False


def _is_leftover(draft: Draft, manifest: Manifest) -> bool:
    if manifest["metadata"].get("deletionTimestamp"):
        return True
    owners = manifest["metadata"].get("ownerReferences") or []
    return any(o.get("kind") == "TrainingJob" and o.get("name") == draft.observation.name for o in owners)


def _is_too_early(draft: Draft) -> bool:
    """Whether the back-off after a failure lasts; it counts from the end of the attempt before."""
    before, failures = draft.observation.run(draft.attempt - 1), draft.attempts.failures
    ended = _failed_at(before) if before is not None else None
    if ended is None or failures == 0:
        return False
    backoff = min(MAX_BACKOFF_SECONDS, draft.settings.retry_backoff_seconds * 2.0 ** min(failures - 1, 30))
    left = backoff - (draft.now - ended).total_seconds()
    if left > 0:
        draft.plan.look_again(left)
    return left > 0


def _failed_at(run: Manifest) -> datetime | None:
    for condition in (run.get("status") or {}).get("conditions") or []:
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            return parse_time(condition.get("lastTransitionTime"))
    return None


def _create(draft: Draft) -> None:
    observation, attempt = draft.observation, draft.attempt
    run_config = run_config_of(draft)
    children = [build_config_map(observation.job, run_config)]
    if draft.spec.resources.nodes > 1:
        children.append(build_service(observation.job, attempt))
    run = build_job(observation.job, draft.spec, attempt, draft.settings)
    missing = [c for c in children if (c["kind"], c["metadata"]["name"]) not in observation.children]
    draft.plan.create = [*missing, run]
    draft.plan.settle_seconds = _SETTLE_SECONDS


def run_config_of(draft: Draft) -> RunConfig:
    """RunConfig of the newest attempt."""
    observation = draft.observation
    return build_run_config(
        observation.job,
        draft.spec,
        draft.attempt,
        grace_period_seconds=grace_period_seconds(draft.spec, draft.settings),
        source_job=observation.source_job,
        source_adapter=observation.source_adapter,
    )


def _resolve(draft: Draft, run_config: RunConfig, run: Manifest) -> None:
    image = run["spec"]["template"]["spec"]["containers"][0]["image"]
    resolved = draft.status.resolved or Resolved()
    if resolved.image == image and resolved.config_digest is not None:
        return
    draft.status.resolved = resolved.model_copy(
        update={
            "image": image,
            "gpus": draft.spec.resources.gpus_per_node * draft.spec.resources.nodes,
            "config_digest": config_digest(run_config),
            "hyperparameters": run_config.hyperparameters.manifest(),
        }
    )
