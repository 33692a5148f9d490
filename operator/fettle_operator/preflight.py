"""The preflight: a pod without GPUs that looks for what would make the run fail, before GPUs are claimed. Pure.

Its children have the names and labels of attempt 0. Its Job is what is known about it: as long as that is there,
nothing is examined twice.
"""

from fettle_operator.attempts import is_held_back, refused, run_config_of
from fettle_operator.builders import build_config_map, build_preflight_job
from fettle_operator.draft import Draft
from fettle_operator.endings import end
from fettle_operator.observation import Observation
from fettle_operator.plan import Deletion
from fettle_operator.publication import resolve
from fettle_operator.verdict import Outcome, Verdict, judge
from fettle_schema.failures import build_failure
from fettle_schema.names import PREFLIGHT_ATTEMPT
from fettle_schema.reasons import Reason
from fettle_schema.run import RunResult
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.vocabulary import ConditionType, FailureCode

_ABOUT = "dataset, model and settings are examined before anything is claimed"
_CHECK_SECONDS = 30.0


def preflight(draft: Draft) -> bool:
    """Examine a job that has not run yet. True while that is not done, or if it ends the job."""
    if draft.attempt > PREFLIGHT_ATTEMPT or not is_wanted(draft.spec):
        return False
    if draft.run is None:
        _create(draft)
        return True
    if draft.run["metadata"].get("deletionTimestamp"):
        _wait(draft, "an earlier examination is being removed")
        draft.plan.look_again(_CHECK_SECONDS)
        return True
    verdict = judge(
        draft.run,
        draft.observation.pods_of(PREFLIGHT_ATTEMPT),
        draft.now,
        draft.patience,
        attempt=PREFLIGHT_ATTEMPT,
        brings_own_command=False,
    )
    match verdict.outcome:
        case Outcome.SUCCEEDED:
            _take_over(draft, verdict.result)
            return False
        case Outcome.FAILED:
            failure = verdict.failure or build_failure(FailureCode.TRAINER_ERROR, attempt=PREFLIGHT_ATTEMPT)
            draft.set(ConditionType.ACCEPTED, "False", failure.code, failure.message)
            end(draft, failure)
        case Outcome.RETRY | Outcome.PREEMPTED:
            _again(draft, verdict)
        case _:
            _wait(draft, verdict.message)
            draft.plan.look_again(_CHECK_SECONDS)
    return True


def is_wanted(spec: TrainingJobSpec) -> bool:
    """`auto` examines what asks for GPUs; an image that brings its own command cannot be judged by our trainer."""
    if spec.preflight == "auto":
        return spec.resources.gpus_per_node > 0 and spec.runtime.command is None
    return spec.preflight == "always"


def _create(draft: Draft) -> None:
    observation = draft.observation
    if observation.refusal is not None:
        return refused(draft, observation.refusal)
    if is_held_back(draft):
        held = draft.find(ConditionType.RUNNING)
        return None if draft.status.failure else _wait(draft, held.message if held is not None else "")
    config_map = build_config_map(observation.job, run_config_of(draft))
    if not _exists(observation, config_map["metadata"]["name"]):
        draft.plan.create.append(config_map)
    draft.plan.create.append(build_preflight_job(observation.job, draft.spec, draft.settings))
    return _wait(draft, "")


def _exists(observation: Observation, config_map: str) -> bool:
    return ("ConfigMap", config_map) in observation.children


def _wait(draft: Draft, story: str) -> None:
    draft.set(ConditionType.ACCEPTED, "False", Reason.PREFLIGHT, f"{_ABOUT}: {story}" if story else _ABOUT)


def _again(draft: Draft, verdict: Verdict) -> None:
    """It came to no verdict. Failures count as those of a run do; what was taken away counts for nothing."""
    if verdict.outcome is Outcome.RETRY:
        draft.attempts.failures += 1
        if draft.attempts.failures > draft.spec.limits.max_retries:
            failure = verdict.failure or build_failure(FailureCode.INFRASTRUCTURE, verdict.message)
            return end(draft, failure)
    if draft.run is not None:
        metadata = draft.run["metadata"]
        draft.plan.delete.append(Deletion("Job", metadata["name"], metadata["uid"], "Foreground"))
    return _wait(draft, f"{verdict.reason}: {verdict.message}")


def _take_over(draft: Draft, result: RunResult | None) -> None:
    """What the run will find is known now; warnings become the message of Accepted=True."""
    if result is None:
        return
    resolve(draft, result)
    draft.set(ConditionType.ACCEPTED, "True", Reason.ACCEPTED, "; ".join(result.warnings))
