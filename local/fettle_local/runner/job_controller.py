"""The Job controller of one machine: each Job of the store gets its pod, and the pod's end becomes the Job's status."""

import logging
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fettle_client.protocol import JOBS, PODS, Manifest, NotFoundError, ResourceClient
from fettle_local.runner import pod_status
from fettle_local.runner.pod_status import POD_FINALIZER

FIELD_MANAGER = "fettle-job-controller"
LABEL_JOB_NAME = "batch.kubernetes.io/job-name"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class JobPlan:
    """What a Job needs now."""

    status: Manifest
    creates_pod: bool = False
    deletes_pods: tuple[Manifest, ...] = ()


class JobController:
    """Call `reconcile` for a Job after anything about it or its pods changed: safe to repeat, one call at a time."""

    def __init__(self, client: ResourceClient) -> None:
        self._client = client

    async def reconcile(self, name: str, namespace: str) -> None:
        """Create the pod that is missing, report the end of the one that has run."""
        try:
            job = await self._client.get(JOBS, name, namespace)
        except NotFoundError:
            return
        if "deletionTimestamp" in job["metadata"] or _finished_condition(job):
            return
        listed = await self._client.list(PODS, namespace, f"{LABEL_JOB_NAME}={name}")
        pods = [pod for pod in listed.items if _is_controlled_by(pod, job["metadata"]["uid"])]
        plan = job_plan(job, pods, datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"))
        for pod in plan.deletes_pods:
            await self._client.delete(PODS, pod["metadata"]["name"], namespace, pod["metadata"]["uid"])
        if plan.creates_pod:
            pod = build_pod(job, uuid.uuid4().hex[:5])
            await self._client.create(PODS, pod)
            _log.info("pod created", extra={"job": name, "namespace": namespace, "pod": pod["metadata"]["name"]})
        uid = job["metadata"]["uid"]
        await self._client.apply_status(JOBS, name, namespace, plan.status, FIELD_MANAGER, uid=uid)


def job_plan(job: Manifest, pods: list[Manifest], now: str) -> JobPlan:
    """What the Job needs, and its status. Pure. A pod that is being deleted is not replaced before it is gone."""
    spec = job["spec"]
    active = [pod for pod in pods if not pod_status.is_finished(pod)]
    terminating = [pod for pod in pods if "deletionTimestamp" in pod["metadata"]]
    succeeded = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Succeeded"]
    failed = [pod for pod in pods if (pod.get("status") or {}).get("phase") == "Failed"]
    counted = [pod for pod in failed if not (_ignores_disruption(spec) and pod_status.is_disrupted(pod))]
    status: dict[str, Any] = {
        "startTime": (job.get("status") or {}).get("startTime", now),
        "active": len(active),
        "ready": sum((pod.get("status") or {}).get("phase") == "Running" for pod in active),
        "succeeded": len(succeeded),
        "failed": len(failed),
    }
    if succeeded:
        done = [_condition(kind, "CompletionsReached", now) for kind in ("SuccessCriteriaMet", "Complete")]
        return JobPlan({**status, "conditions": done, "completionTime": now})
    if len(counted) > spec.get("backoffLimit", 6):
        message = "Job has reached the specified backoff limit"
        ended = [_condition(kind, "BackoffLimitExceeded", now, message) for kind in ("FailureTarget", "Failed")]
        return JobPlan({**status, "conditions": ended})
    if spec.get("suspend"):
        return JobPlan({**status, "conditions": [_condition("Suspended", "JobSuspended", now)]}, False, tuple(active))
    creates_pod = not active and not terminating
    return JobPlan({**status, "active": status["active"] + creates_pod}, creates_pod)


def build_pod(job: Manifest, suffix: str) -> Manifest:
    """A pod of the Job's template."""
    metadata, template = job["metadata"], job["spec"]["template"]
    template_metadata = template.get("metadata") or {}
    own_labels = {LABEL_JOB_NAME: metadata["name"], "batch.kubernetes.io/controller-uid": metadata["uid"]}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{metadata['name']}-{suffix}",
            "namespace": metadata["namespace"],
            "labels": {**template_metadata.get("labels", {}), **own_labels},
            "annotations": template_metadata.get("annotations", {}),
            "finalizers": [POD_FINALIZER],
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": True}],
        },
        "spec": template["spec"],
    }


def _condition(kind: str, reason: str, now: str, message: str = "") -> Manifest:
    return {"type": kind, "status": "True", "reason": reason, "message": message, "lastTransitionTime": now}


def _finished_condition(job: Manifest) -> bool:
    conditions = (job.get("status") or {}).get("conditions", [])
    return any(
        condition["type"] in ("Complete", "Failed") and condition["status"] == "True" for condition in conditions
    )


def _is_controlled_by(pod: Manifest, uid: str) -> bool:
    return any(owner["uid"] == uid and owner.get("controller") for owner in pod["metadata"].get("ownerReferences", []))


def _ignores_disruption(spec: Manifest) -> bool:
    rules = (spec.get("podFailurePolicy") or {}).get("rules", [])
    return any(
        rule["action"] == "Ignore" and any(on["type"] == "DisruptionTarget" for on in rule.get("onPodConditions", []))
        for rule in rules
    )
