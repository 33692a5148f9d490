"""The headless Service by which the pods of one attempt find the first of them. Pure."""

from fettle_operator.builders.metadata import child_metadata
from fettle_operator.plan import Manifest
from fettle_schema.names import LABEL_ATTEMPT, LABEL_JOB_UID, attempt_name, service_name

RENDEZVOUS_PORT = 29500


def build_service(job: Manifest, attempt: int) -> Manifest:
    """Publishes addresses before pods are ready: nobody is ready before all have met."""
    uid = job["metadata"]["uid"]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": child_metadata(job, service_name(uid, attempt), attempt),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {LABEL_JOB_UID: uid, LABEL_ATTEMPT: str(attempt)},
            "ports": [{"name": "rendezvous", "port": RENDEZVOUS_PORT}],
        },
    }


def rendezvous(job: Manifest, attempt: int) -> str:
    """`host:port` of the first pod. With the namespace: a pod that is named like a Service resolves itself."""
    metadata = job["metadata"]
    first_pod = f"{attempt_name(metadata['name'], attempt)}-0"
    return f"{first_pod}.{service_name(metadata['uid'], attempt)}.{metadata['namespace']}:{RENDEZVOUS_PORT}"
