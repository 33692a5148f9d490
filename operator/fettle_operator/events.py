"""Kubernetes events about a job or an Adapter: one for each change of phase. Pure."""

import hashlib
from datetime import datetime
from typing import Any

from fettle_operator.plan import Manifest
from fettle_schema.base import API_VERSION
from fettle_schema.names import FIELD_MANAGER_OPERATOR

_WARNINGS = frozenset({"Failed", "Pending", "Degraded"})


def build_event(subject: Manifest, now: datetime) -> Manifest:
    """What `kubectl describe` shows; the same change makes the same name."""
    metadata, status = subject["metadata"], subject["status"]
    phase, reason = status["phase"], status.get("reason") or status["phase"]
    digest = hashlib.sha256(f"{metadata['uid']}/{metadata.get('resourceVersion')}".encode()).hexdigest()[:16]
    time = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    event: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name']}.{digest}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": API_VERSION,
            "kind": subject["kind"],
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "uid": metadata["uid"],
        },
        "type": "Warning" if phase in _WARNINGS and reason != "Pending" else "Normal",
        "reason": reason,
        "message": f"{phase}: {status.get('message') or reason}"[:1024],
        "source": {"component": FIELD_MANAGER_OPERATOR},
        "firstTimestamp": time,
        "lastTimestamp": time,
        "count": 1,
    }
    return event
