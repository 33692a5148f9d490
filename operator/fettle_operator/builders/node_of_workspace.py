"""Keeps the pods that mount a claim on one node, where the claim can be mounted on one only. Pure."""

from typing import Any

from fettle_operator.plan import Manifest
from fettle_schema.names import LABEL_MOUNTS_WORKSPACE

MOUNTS_WORKSPACE = {LABEL_MOUNTS_WORKSPACE: "true"}
"""Label of such pods; the chart gives it to the facade and the engine."""


def beside_the_workspace(affinity: Manifest | None) -> Manifest:
    """An affinity with one more rule: only where another such pod is. The scheduler lets the first go anywhere."""
    rule = {"labelSelector": {"matchLabels": MOUNTS_WORKSPACE}, "topologyKey": "kubernetes.io/hostname"}
    given: dict[str, Any] = affinity or {}
    pods: dict[str, Any] = given.get("podAffinity") or {}
    required = [*(pods.get("requiredDuringSchedulingIgnoredDuringExecution") or []), rule]
    return {**given, "podAffinity": {**pods, "requiredDuringSchedulingIgnoredDuringExecution": required}}
