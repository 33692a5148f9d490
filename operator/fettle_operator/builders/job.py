"""The batch Job of one attempt. Created once and never applied again: Kueue and the Job controller edit it. Pure."""

from typing import Any

from fettle_operator.builders.metadata import child_metadata, labels
from fettle_operator.builders.node_of_workspace import beside_the_workspace
from fettle_operator.builders.pod import build_pod_spec
from fettle_operator.builders.service import build_service
from fettle_operator.plan import Manifest
from fettle_operator.settings import OperatorSettings
from fettle_schema.names import attempt_name
from fettle_schema.training_job import TrainingJobSpec

KUEUE_LABEL = "kueue.x-k8s.io/queue-name"


def build_job(job: Manifest, spec: TrainingJobSpec, attempt: int, settings: OperatorSettings) -> Manifest:
    """One pod for each node; a failure ends the attempt, and only we start another."""
    nodes, kueue_queue = spec.resources.nodes, spec.scheduling.kueue_queue
    metadata = child_metadata(job, attempt_name(job["metadata"]["name"], attempt), attempt)
    pod_spec = build_pod_spec(job, spec, attempt, settings)
    body: dict[str, Any] = {
        "backoffLimit": 0,
        "completions": nodes,
        "parallelism": nodes,
        "podReplacementPolicy": "Failed",
    }
    if nodes > 1:
        body["completionMode"] = "Indexed"
        pod_spec["subdomain"] = build_service(job, attempt)["metadata"]["name"]
    else:
        body["podFailurePolicy"] = {
            "rules": [
                {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
            ]
        }
    if kueue_queue is not None:
        metadata["labels"][KUEUE_LABEL] = kueue_queue
        body["suspend"] = True
    template = {"metadata": {"labels": labels(job, attempt)}, "spec": pod_spec}
    body["template"] = beside_the_workspace(template, settings)
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": body}
