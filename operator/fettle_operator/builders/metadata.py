"""Names, labels and owners that every child of a job carries. Pure."""

from typing import Any

from fettle_operator.plan import Manifest
from fettle_schema.base import API_VERSION
from fettle_schema.names import LABEL_ATTEMPT, LABEL_JOB, LABEL_JOB_UID, LABEL_MANAGED_BY, MANAGED_BY


def labels(job: Manifest, attempt: int) -> dict[str, str]:
    """What children are found by."""
    return {
        LABEL_MANAGED_BY: MANAGED_BY,
        LABEL_JOB: job["metadata"]["name"],
        LABEL_JOB_UID: job["metadata"]["uid"],
        LABEL_ATTEMPT: str(attempt),
    }


def child_metadata(job: Manifest, name: str, attempt: int) -> dict[str, Any]:
    """Metadata of a child, which goes when its job goes."""
    return {
        "name": name,
        "namespace": job["metadata"]["namespace"],
        "labels": labels(job, attempt),
        "ownerReferences": [owner_reference(job, "TrainingJob")],
    }


def owner_reference(owner: Manifest, kind: str) -> dict[str, Any]:
    """What makes a resource a child of one of ours."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def is_owned_by(manifest: Manifest, uid: str) -> bool:
    """Whether a resource is a child of the job with this uid."""
    return any(owner.get("uid") == uid for owner in manifest["metadata"].get("ownerReferences") or [])
