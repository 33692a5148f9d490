"""The files of an Adapter: when a Job must read them, and what its report makes of ArtifactReady and Compatible. Pure.

What a run has published is believed until it is to be loaded: the run computed the digest itself. Whenever loading is
asked for, and when an engine comes that does not have it, the files are read again. The Job is what is known about an
examination; it is removed once its report is in the status, or when it is time to look again.
"""

from datetime import datetime

from pydantic import ValidationError

from fettle_operator import pods
from fettle_operator.acceptance import claim_message
from fettle_operator.adapters.draft import AdapterDraft
from fettle_operator.adapters.observation import request_of
from fettle_operator.adapters.versions import take_over
from fettle_operator.builders.examination_job import build_examination_job
from fettle_operator.builders.metadata import is_owned_by
from fettle_operator.conditions import is_finished
from fettle_operator.observation import parse_status
from fettle_operator.plan import Deletion, Manifest
from fettle_operator.verdict import is_ended
from fettle_schema.artifact import ArtifactReport, ArtifactRequest
from fettle_schema.layout import ADAPTERS, artifact_directory
from fettle_schema.reasons import Reason
from fettle_schema.vocabulary import AdapterConditionType

_CHECK_SECONDS = 30.0
_LONGEST_RETRY_SECONDS = 3600.0
_REFUSED_SECONDS = 600.0
"""How often files are read again only because engines refuse them, or do not answer."""
_READY = AdapterConditionType.ARTIFACT_READY


def examine(draft: AdapterDraft) -> None:
    """Start an examination, wait for it, or take its report over."""
    examination = draft.observation.examination
    if examination is None:
        if _is_wanted(draft):
            _start(draft)
        return None
    if not is_owned_by(examination, draft.observation.uid):
        return _name_taken(draft, examination)
    if examination["metadata"].get("deletionTimestamp"):
        return draft.plan.look_again(_CHECK_SECONDS)
    if request_of(examination) != _request(draft) and not _is_recorded(draft, examination):
        return _remove(draft, examination)  # the Adapter has changed meanwhile
    if not is_ended(examination):
        return _wait(draft)
    return _conclude(draft, examination)


def is_fresh(verified_at: datetime | None, now: datetime, seconds: float) -> bool:
    """Whether files that were verified then may be loaded now."""
    return verified_at is not None and (now - verified_at).total_seconds() <= seconds


def _is_wanted(draft: AdapterDraft) -> bool:
    if not draft.is_current or not draft.holds(_READY):
        return True
    if not draft.spec.serving.load or not draft.settings.loads_adapters:
        return False
    if draft.status.verified_at is None:
        return True
    seconds = _longest_age(draft)
    return seconds is not None and not is_fresh(draft.status.verified_at, draft.now, seconds)


def _longest_age(draft: AdapterDraft) -> float | None:
    """How old a verification may be; None while no pod is ready, or getting ready, that does not have this version."""
    view, settings = draft.observation.serving, draft.settings
    path = f"{settings.engine_workspace}/{draft.status.path}"
    missing = [instance for instance in (view.instances if view else ()) if instance.path != path]
    if not missing:
        return None
    is_hopeful = any(instance.problem is None for instance in missing)
    return settings.verification_seconds if is_hopeful else max(settings.verification_seconds, _REFUSED_SECONDS)


def _start(draft: AdapterDraft) -> None:
    observation, settings = draft.observation, draft.settings
    if not draft.is_current and _is_being_published(draft):
        return draft.plan.look_again(settings.source_check_seconds)
    request = _request(draft)
    if request is None:
        return draft.plan.look_again(settings.source_check_seconds)
    if settings.requires_workspace_claim and not observation.has_claim:
        namespace = observation.adapter["metadata"]["namespace"]
        draft.set(_READY, "Unknown", Reason.WORKSPACE_MISSING, claim_message(namespace, settings.workspace_claim))
        return draft.plan.look_again(settings.source_check_seconds)
    if observation.refusal is not None:
        draft.set(_READY, "Unknown", Reason.CREATE_FORBIDDEN, observation.refusal.message)
        return draft.plan.look_again(settings.examination_retry_seconds)
    draft.plan.create.append(build_examination_job(observation.adapter, request, settings))
    return _tell(draft, "")


def _request(draft: AdapterDraft) -> ArtifactRequest | None:
    """What is to be examined; None, with the condition set, while the source has nothing."""
    observation, spec, status = draft.observation, draft.spec, draft.status
    about = {"name": observation.name, "uid": observation.uid, "base_model": spec.base_model}
    if draft.is_current:
        return ArtifactRequest(**about, path=status.path, digest=status.digest)
    source = spec.source
    if source.hugging_face is not None:
        return ArtifactRequest(**about, hugging_face=source.hugging_face, digest=spec.digest)
    if source.workspace is not None:
        return ArtifactRequest(**about, path=source.workspace.path, digest=spec.digest)
    digest = spec.digest or _published_digest(observation.source_job)
    if digest is None:
        job, reason = source.training_job, Reason.SOURCE_NOT_READY if observation.source_job else Reason.SOURCE_MISSING
        story = "has published no adapter yet" if observation.source_job else "does not exist, and there is no digest"
        draft.set(_READY, "Unknown", reason, f"spec.source.trainingJob: {job!r} {story}")
        return None
    return ArtifactRequest(**about, path=artifact_directory(ADAPTERS, observation.name, digest), digest=digest)


def _is_being_published(draft: AdapterDraft) -> bool:
    """Whether the run that made this version has not ended its job yet: before that, it writes the status itself."""
    job, uid = draft.observation.source_job, draft.spec.source.training_job_uid
    if job is None or uid is None or job["metadata"]["uid"] != uid:
        return False
    return not is_finished(parse_status(job).conditions)


def _published_digest(job: Manifest | None) -> str | None:
    output = ((job or {}).get("status") or {}).get("output") or {}
    return output.get("digest") if output.get("kind") == "adapter" else None


def _wait(draft: AdapterDraft) -> None:
    story = ""
    if draft.observation.pods:
        pod = draft.observation.pods[-1]
        story = "" if pods.is_running(pod) else f"{(waiting := pods.waiting(pod)).reason}: {waiting.message}"
    draft.plan.look_again(_CHECK_SECONDS)
    _tell(draft, story)


def _tell(draft: AdapterDraft, story: str) -> None:
    """Files that are believed stay so while they are looked at once more."""
    if draft.is_current and draft.holds(_READY):
        return
    before = draft.find(_READY)
    is_same_spec = before is not None and before.observed_generation == draft.observation.generation
    if before is not None and before.status == "False" and (draft.is_current or is_same_spec):
        return  # what was wrong stays said until somebody has looked again
    about = "the files are being examined"
    draft.set(_READY, "Unknown", Reason.EXAMINING, f"{about}: {story}" if story else about)


def _conclude(draft: AdapterDraft, examination: Manifest) -> None:
    report = _report(draft)
    if report is None:
        draft.set(_READY, "Unknown", Reason.EXAMINATION_FAILED, _failure_story(draft, examination))
        return _remove_later(draft, examination)
    if report.problem is not None:
        draft.set(_READY, "False", report.problem.reason, report.problem.message)
        return _remove_later(draft, examination)
    if _is_recorded(draft, examination):
        return _remove(draft, examination)
    return take_over(draft, report, _read_at(draft, examination))


def _report(draft: AdapterDraft) -> ArtifactReport | None:
    for pod in reversed(draft.observation.pods):
        state = pods.terminated(pod)
        if state is None or state.get("exitCode") != 0:
            continue
        try:
            return ArtifactReport.model_validate_json(state.get("message") or "")
        except ValidationError:
            continue
    return None


def _failure_story(draft: AdapterDraft, examination: Manifest) -> str:
    conditions = (examination.get("status") or {}).get("conditions") or []
    said = next((c.get("message") or c.get("reason", "") for c in conditions if c.get("type") == "Failed"), "")
    for pod in draft.observation.pods:
        state = pods.terminated(pod) or {}
        if state.get("exitCode"):
            said = f"exit code {state['exitCode']} ({state.get('reason', 'Error')})"
    name = examination["metadata"]["name"]
    return f"the pod that examines the files ended without a report: {said or 'no reason given'} (Job {name!r})"


def _is_recorded(draft: AdapterDraft, examination: Manifest) -> bool:
    verified_at = draft.observation.status.verified_at
    return draft.is_current and verified_at is not None and verified_at >= _created_at(examination)


def _remove_later(draft: AdapterDraft, examination: Manifest) -> None:
    """Wait as long as it has been wrong so far: a minute at first, an hour at most."""
    condition = draft.find(_READY)
    since = condition.last_transition_time if condition is not None else draft.now
    ended = _ended_at(examination) or draft.now
    shortest = draft.settings.examination_retry_seconds
    wait = min(max((ended - since).total_seconds(), shortest), max(_LONGEST_RETRY_SECONDS, shortest))
    left = wait - (draft.now - ended).total_seconds()
    if left > 0:
        return draft.plan.look_again(left)
    return _remove(draft, examination)


def _remove(draft: AdapterDraft, examination: Manifest) -> None:
    metadata = examination["metadata"]
    draft.plan.delete.append(Deletion("Job", metadata["name"], metadata["uid"]))


def _name_taken(draft: AdapterDraft, examination: Manifest) -> None:
    if _is_wanted(draft):
        name = examination["metadata"]["name"]
        message = f"a Job {name!r} that is not this Adapter's stands in the way; delete it"
        draft.set(_READY, "Unknown", Reason.WAITING_FOR_CLEANUP, message)
        draft.plan.look_again(draft.settings.examination_retry_seconds)


def _created_at(examination: Manifest) -> datetime:
    return datetime.fromisoformat(examination["metadata"]["creationTimestamp"])


def _read_at(draft: AdapterDraft, examination: Manifest) -> datetime:
    """When the files were read, for which its end is near enough."""
    ends = [end for pod in draft.observation.pods if (end := pods.finished_at(pod)) is not None]
    return max([*ends, _created_at(examination)])


def _ended_at(examination: Manifest) -> datetime | None:
    times = [
        c.get("lastTransitionTime")
        for c in (examination.get("status") or {}).get("conditions") or []
        if c.get("type") in ("Complete", "Failed") and c.get("status") == "True"
    ]
    return pods.parse_time(times[0]) if times else None
