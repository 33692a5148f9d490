"""The Adapter that comes out of a job, and its status. It is not a child: it outlives the job. Pure."""

from datetime import datetime
from typing import Any

from fettle_operator.adapters.conditions import adapter_phase
from fettle_operator.adapters.observation import parse_adapter_status
from fettle_operator.adapters.versions import with_version
from fettle_operator.builders.run_config import adapter_name
from fettle_operator.conditions import Status, is_true, set_condition
from fettle_operator.plan import Manifest
from fettle_schema.adapter import AdapterSource, AdapterStatus, Provenance
from fettle_schema.base import API_VERSION
from fettle_schema.names import LABEL_JOB, LABEL_JOB_UID, LABEL_MANAGED_BY, MANAGED_BY
from fettle_schema.reasons import Reason
from fettle_schema.run import RunResult
from fettle_schema.status import Condition, OutputStatus, Resolved
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.vocabulary import AdapterConditionType as _Type


def build_adapter(
    job: Manifest, spec: TrainingJobSpec, output: OutputStatus, existing: Manifest | None = None
) -> Manifest:
    """A new Adapter, or `existing` with a new version: source and digest change together."""
    metadata = job["metadata"]
    name = adapter_name(job, spec)
    own_labels = {LABEL_MANAGED_BY: MANAGED_BY, LABEL_JOB: metadata["name"], LABEL_JOB_UID: metadata["uid"]}
    source = {"trainingJob": metadata["name"], "trainingJobUid": metadata["uid"]}
    if existing is not None:
        kept = existing["metadata"]
        return {
            **{key: value for key, value in existing.items() if key != "status"},
            "metadata": {**kept, "labels": {**(kept.get("labels") or {}), **own_labels}},
            "spec": {**existing["spec"], "source": source, "digest": output.digest},
        }
    base_model: dict[str, Any] = {"id": spec.base_model.id or spec.base_model.path}
    if spec.base_model.id is not None and spec.base_model.revision is not None:
        base_model["revision"] = spec.base_model.revision
    return {
        "apiVersion": API_VERSION,
        "kind": "Adapter",
        "metadata": {"name": name, "namespace": metadata["namespace"], "labels": own_labels},
        "spec": {"baseModel": base_model, "source": source, "digest": output.digest, "servedName": name},
    }


def build_adapter_status(
    job: Manifest,
    spec: TrainingJobSpec,
    result: RunResult,
    output: OutputStatus,
    resolved: Resolved | None,
    existing: Manifest | None,
    now: datetime,
) -> Manifest:
    """Status of the Adapter: its files are there. What engines have of an older version stays said; of a new one
    nobody has asked for anything."""
    metadata, resolved = job["metadata"], resolved or Resolved()
    before = parse_adapter_status(existing) if existing is not None else AdapterStatus(observed_generation=1)
    source = AdapterSource(training_job=metadata["name"], training_job_uid=metadata["uid"])
    status = AdapterStatus(
        observed_generation=before.observed_generation,
        conditions=_conditions(before.conditions, spec, output, before.observed_generation or 0, now),
        path=output.path,
        digest=output.digest,
        source=source,
        size_bytes=result.size_bytes,
        rank=result.rank,
        target_modules=result.target_modules,
        history=with_version(before.history, output.digest, metadata["name"], now),
        provenance=Provenance(
            training_job=metadata["name"],
            uid=metadata["uid"],
            base_model_revision=result.base_model_revision,
            dataset_digest=result.dataset_digest,
            image=resolved.image,
            config_digest=resolved.config_digest,
            final_loss=result.metrics.get("loss"),
            final_eval_loss=result.metrics.get("evalLoss"),
        ),
        ready_pods=before.ready_pods,
        instances=before.instances,
    )
    status.phase, status.reason, status.message = adapter_phase(status.conditions)
    return status.manifest()


def _conditions(
    before: list[Condition], spec: TrainingJobSpec, output: OutputStatus, generation: int, now: datetime
) -> list[Condition]:
    """The files are those of the run, which was on the base model; whether engines can serve them, its spec tells."""
    is_new = not before

    def put(kind: _Type, status: Status, reason: Reason, message: str) -> None:
        nonlocal before
        before = set_condition(before, kind, status, reason, message, now=now, generation=generation)

    put(_Type.ARTIFACT_READY, "True", Reason.PUBLISHED, f"published at {output.path}")
    adapter = spec.adapter
    extras = {"useDora": adapter.use_dora, "modulesToSave": adapter.modules_to_save, "bias": _bias(adapter.bias)}
    extra = next((name for name, value in extras.items() if value), None)
    if extra is None:
        put(_Type.COMPATIBLE, "True", Reason.FITS, "trained on it")
    else:
        words = f"it was trained with {extra}: no engine serves that beside others; merge it into the base model"
        put(_Type.COMPATIBLE, "False", Reason.NOT_SERVABLE, words)
    if is_true(before, _Type.LOADED):
        put(_Type.LOADED, "Unknown", Reason.LOADING, "engines have an older version")
    elif is_new:
        put(_Type.LOADED, "False", Reason.NOT_REQUESTED, "")
    return before


def _bias(bias: str | None) -> str | None:
    return None if bias == "none" else bias
