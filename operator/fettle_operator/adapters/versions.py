"""A version of an Adapter: what a report makes of its status, and the history. Pure."""

from datetime import datetime

from fettle_operator.adapters.draft import AdapterDraft
from fettle_operator.conditions import Status
from fettle_schema.adapter import AdapterVersion, Provenance
from fettle_schema.artifact import ArtifactReport
from fettle_schema.reasons import Reason
from fettle_schema.vocabulary import AdapterConditionType

MAX_HISTORY = 10
_FITTING = frozenset({Reason.FITS, Reason.SAME_NAME})


def with_version(
    history: list[AdapterVersion] | None, digest: str, training_job: str | None, now: datetime
) -> list[AdapterVersion]:
    """History is newest first; what is the newest already is not added again."""
    history = history or []
    if history and history[0].digest == digest:
        return history
    return [AdapterVersion(digest=digest, training_job=training_job, time=now), *history][:MAX_HISTORY]


def take_over(draft: AdapterDraft, report: ArtifactReport, verified_at: datetime) -> None:
    """The files are there and as they should be."""
    status, spec = draft.status, draft.spec
    assert report.digest is not None, "a report without a problem has one"
    is_new = status.digest != report.digest or not draft.is_current
    if is_new:
        status.provenance = _provenance(draft)
        status.history = with_version(status.history, report.digest, spec.source.training_job, draft.now)
    status.path, status.digest, status.source = report.path, report.digest, spec.source
    status.size_bytes, status.rank = report.size_bytes, report.rank
    status.target_modules = report.target_modules or status.target_modules
    status.verified_at = verified_at
    came_from = f", fetched from {report.source}" if report.source else ""
    draft.set(AdapterConditionType.ARTIFACT_READY, "True", Reason.VERIFIED, f"verified at {report.path}{came_from}")
    if report.compatibility is not None:
        fits: Status = "True" if report.compatibility.reason in _FITTING else "False"
        compatible = report.compatibility
        draft.set(AdapterConditionType.COMPATIBLE, fits, compatible.reason, compatible.message)


def _provenance(draft: AdapterDraft) -> Provenance:
    """What is known of where a version came from that no run has just published."""
    job = draft.observation.source_job
    if job is None:
        return Provenance(training_job=draft.spec.source.training_job, uid=draft.spec.source.training_job_uid)
    status = job.get("status") or {}
    resolved, progress = status.get("resolved") or {}, status.get("progress") or {}
    return Provenance(
        training_job=job["metadata"]["name"],
        uid=job["metadata"]["uid"],
        base_model_revision=resolved.get("baseModelRevision"),
        dataset_digest=resolved.get("datasetDigest"),
        image=resolved.get("image"),
        config_digest=resolved.get("configDigest"),
        final_loss=progress.get("loss"),
        final_eval_loss=progress.get("evalLoss"),
    )
