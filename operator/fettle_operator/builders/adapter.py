"""The Adapter that comes out of a job, and its status. It is not a child: it outlives the job. Pure."""

from datetime import datetime
from typing import Any

from fettle_operator.builders.run_config import adapter_name
from fettle_operator.plan import Manifest
from fettle_schema.adapter import AdapterStatus, AdapterVersion, Provenance
from fettle_schema.base import API_VERSION
from fettle_schema.names import LABEL_JOB, LABEL_JOB_UID, LABEL_MANAGED_BY, MANAGED_BY
from fettle_schema.run import RunResult
from fettle_schema.status import Condition, OutputStatus, Resolved
from fettle_schema.training_job import TrainingJobSpec

MAX_HISTORY = 10


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
    result: RunResult,
    output: OutputStatus,
    resolved: Resolved | None,
    existing: Manifest | None,
    now: datetime,
) -> Manifest:
    """Status of the Adapter: its files are there. History is newest first."""
    metadata, resolved = job["metadata"], resolved or Resolved()
    before = AdapterStatus.model_validate((existing or {}).get("status") or {})
    history = before.history or []
    if not history or history[0].digest != output.digest:
        version = AdapterVersion(digest=output.digest, training_job=metadata["name"], time=now)
        history = [version, *history][:MAX_HISTORY]
    ready = Condition(
        type="ArtifactReady",
        status="True",
        reason="Published",
        message=f"published at {output.path}",
        last_transition_time=now,
    )
    return AdapterStatus(
        phase="Available",
        conditions=[ready],
        reason=ready.reason,
        message=ready.message,
        path=output.path,
        digest=output.digest,
        size_bytes=result.size_bytes,
        rank=result.rank,
        target_modules=result.target_modules,
        history=history,
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
    ).manifest()
