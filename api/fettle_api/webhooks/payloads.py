"""What a webhook says. Pure."""

import json
from typing import Any

from fettle_api.jobs.uuid_ids import id_of_name
from fettle_api.resources.models import JobView
from fettle_schema.vocabulary import Phase

_CLUSTER_STATUS = {Phase.SUCCEEDED: "completed", Phase.FAILED: "failed", Phase.CANCELLED: "cancelled"}


def message_id(job: JobView) -> str:
    """The same for every attempt, and for every sender: by it a receiver knows what came twice."""
    return f"msg_{job.uid}"


def message_body(job: JobView, namespace: str) -> bytes:
    """The body for a job that has ended, as its webhook asks for it."""
    is_cluster = job.spec.webhook is not None and job.spec.webhook.format == "cluster"
    content = _cluster(job) if is_cluster else _standard(job, namespace)
    return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()


def _standard(job: JobView, namespace: str) -> dict[str, Any]:
    """`data` has the words of the resource."""
    status = job.status.manifest()
    shown = ("startTime", "completionTime", "reason", "message", "output", "adapter", "failure")
    data = {
        "name": job.name,
        "namespace": namespace,
        "uid": job.uid,
        "dialect": job.dialect,
        "originalId": job.original_id,
        "method": str(job.spec.method),
        "phase": str(job.phase),
        **{name: status.get(name) for name in shown},
    }
    return {
        "type": f"training_job.{str(job.phase).lower()}",
        "timestamp": status.get("completionTime") or job.created_at.isoformat(),
        "data": {name: value for name, value in data.items() if value is not None},
    }


def _cluster(job: JobView) -> dict[str, Any]:
    head = {"job_id": id_of_name(job.name), "status": _CLUSTER_STATUS[job.phase]}
    if job.phase is Phase.SUCCEEDED:
        output = job.status.output
        return {**head, "tracking_url": None, "output_path": output.path if output else None}
    if job.phase is Phase.CANCELLED:
        return {**head, "error": "The training job was cancelled"}
    return {**head, "error": job.status.failure.message if job.status.failure else job.status.message}
