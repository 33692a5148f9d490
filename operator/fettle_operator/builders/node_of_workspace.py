"""Keeps the pods that mount a claim on one node, where the claim can be mounted on one only. Pure."""

from typing import Any

from fettle_operator.plan import Manifest
from fettle_operator.settings import OperatorSettings
from fettle_schema.names import LABEL_MOUNTS_WORKSPACE

MOUNTS_WORKSPACE = {LABEL_MOUNTS_WORKSPACE: "true"}
"""Label of such pods; the chart gives it to the facade and the engine."""


def beside_the_workspace(template: Manifest, settings: OperatorSettings) -> Manifest:
    """The pod template; with such a claim, one that goes only where another such pod is. The scheduler lets the first
    go anywhere."""
    if not settings.workspace_on_one_node:
        return template
    metadata, spec = template["metadata"], template["spec"]
    rule = {"labelSelector": {"matchLabels": MOUNTS_WORKSPACE}, "topologyKey": "kubernetes.io/hostname"}
    affinity: dict[str, Any] = spec.get("affinity") or {}
    pods: dict[str, Any] = affinity.get("podAffinity") or {}
    required = [*(pods.get("requiredDuringSchedulingIgnoredDuringExecution") or []), rule]
    pods = {**pods, "requiredDuringSchedulingIgnoredDuringExecution": required}
    return {
        "metadata": {**metadata, "labels": {**metadata["labels"], **MOUNTS_WORKSPACE}},
        "spec": {**spec, "affinity": {**affinity, "podAffinity": pods}},
    }
