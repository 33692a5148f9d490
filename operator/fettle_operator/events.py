"""Kubernetes events about a job or an Adapter. Pure.

A job has at most four, however often it changes: one says what it waits for, one that it runs, one that it is
suspended, one how it ended. An Adapter has one for each phase.
"""

import hashlib
from datetime import datetime
from typing import Any

from fettle_operator.plan import Manifest
from fettle_schema.base import API_VERSION
from fettle_schema.names import FIELD_MANAGER_OPERATOR
from fettle_schema.vocabulary import Phase

_WARNINGS = frozenset({"Failed", "Pending", "Degraded"})
_WAITING = (Phase.PENDING, Phase.QUEUED, Phase.STARTING)


def build_event(subject: Manifest, now: datetime) -> Manifest:
    """What `kubectl describe` shows. What takes the place of an earlier event has its name."""
    metadata, status = subject["metadata"], subject["status"]
    phase, reason = status["phase"], status.get("reason") or status["phase"]
    digest = hashlib.sha256(f"{metadata['uid']}/{_topic(subject['kind'], phase)}".encode()).hexdigest()[:16]
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
        "count": max(1, (status.get("attempts") or {}).get("current", 1)),
    }
    return event


def _topic(kind: str, phase: str) -> str:
    if kind != "TrainingJob":
        return phase
    if Phase(phase).is_finished:
        return "ended"
    return "waiting" if phase in _WAITING else phase
