"""RunConfig of one attempt: the job with nothing left open. Pure."""

import hashlib
import json

from fettle_operator.builders.service import rendezvous
from fettle_operator.plan import Manifest
from fettle_schema.defaults import resolve_adapter, resolve_hyperparameters
from fettle_schema.layout import ADAPTERS, artifact_directory
from fettle_schema.names import job_directory
from fettle_schema.run import RunConfig, RunIdentity, RunLimits, RunOutput, RunStart, RunTopology
from fettle_schema.training_job import TrainingJobSpec


def build_run_config(
    job: Manifest,
    spec: TrainingJobSpec,
    attempt: int,
    *,
    grace_period_seconds: int,
    source_job: Manifest | None = None,
    source_adapter: Manifest | None = None,
) -> RunConfig:
    """What one attempt is given; `source_job` and `source_adapter` are what `startFrom` names."""
    metadata, resources = job["metadata"], spec.resources
    return RunConfig(
        job=RunIdentity(name=metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"], attempt=attempt),
        directory=job_directory(metadata["name"], metadata["uid"]),
        method=spec.method,
        base_model=spec.base_model,
        dataset=spec.dataset,
        adapter=resolve_adapter(spec),
        hyperparameters=resolve_hyperparameters(spec),
        checkpoint=spec.checkpoint,
        start=_start(spec, source_job, source_adapter),
        output=RunOutput(
            name=adapter_name(job, spec),
            merge=spec.output.merge,
            push=spec.output.push,
        ),
        limits=RunLimits(
            startup_timeout_seconds=spec.limits.startup_timeout_seconds,
            stall_timeout_seconds=spec.limits.stall_timeout_seconds,
            termination_grace_period_seconds=grace_period_seconds,
        ),
        topology=RunTopology(
            nodes=resources.nodes,
            processes_per_node=max(1, resources.gpus_per_node),
            uses_gpu=resources.gpus_per_node > 0,
            rendezvous=rendezvous(job, attempt) if resources.nodes > 1 else None,
        ),
        tracking=spec.tracking,
    )


def config_digest(run_config: RunConfig) -> str:
    """Digest of everything but what differs between attempts of one job."""
    content = run_config.manifest()
    content["job"].pop("attempt")
    content["topology"].pop("rendezvous", None)
    canonical = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(canonical.encode()).hexdigest()}"


def adapter_name(job: Manifest, spec: TrainingJobSpec) -> str:
    """Name of the Adapter, and of the directory of what is published."""
    return spec.output.adapter_name or str(job["metadata"]["name"])


def _start(spec: TrainingJobSpec, source_job: Manifest | None, source_adapter: Manifest | None) -> RunStart | None:
    if spec.start_from is None:
        return None
    if source_job is not None:
        metadata = source_job["metadata"]
        return RunStart(
            job_directory=job_directory(metadata["name"], metadata["uid"]),
            checkpoint=spec.start_from.checkpoint or "latest",
        )
    if source_adapter is not None:
        return RunStart(adapter_path=adapter_path(source_adapter))
    return None


def adapter_path(adapter: Manifest) -> str | None:
    """Where the files of an Adapter lie inside the workspace, if they do."""
    status, spec = adapter.get("status") or {}, adapter["spec"]
    if status.get("path"):
        return str(status["path"])
    if (spec.get("source") or {}).get("workspace"):
        return str(spec["source"]["workspace"]["path"])
    if spec.get("digest"):
        return artifact_directory(ADAPTERS, adapter["metadata"]["name"], spec["digest"])
    return None
