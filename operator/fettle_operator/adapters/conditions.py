"""The phase of an Adapter, from its conditions. Pure."""

from fettle_operator.conditions import find
from fettle_schema.reasons import Reason
from fettle_schema.status import Condition
from fettle_schema.vocabulary import AdapterConditionType, AdapterPhase

_QUIET = frozenset({Reason.NOT_REQUESTED, Reason.UNLOADING, Reason.NOT_MANAGED})
"""Reasons of Loaded that say nothing about the Adapter's use."""


def adapter_phase(conditions: list[Condition]) -> tuple[AdapterPhase, str, str]:
    """Phase, reason and message for people: the files first, then the base model, then the engines."""
    artifact = find(conditions, AdapterConditionType.ARTIFACT_READY)
    if artifact is None:
        return AdapterPhase.PENDING, AdapterPhase.PENDING.value, ""
    if artifact.status != "True":
        phase = AdapterPhase.FAILED if artifact.status == "False" else AdapterPhase.PENDING
        return phase, artifact.reason, artifact.message
    compatible = find(conditions, AdapterConditionType.COMPATIBLE)
    if compatible is not None and compatible.status == "False" and compatible.reason == Reason.BASE_MODEL_MISMATCH:
        return AdapterPhase.FAILED, compatible.reason, compatible.message
    loaded = find(conditions, AdapterConditionType.LOADED)
    if loaded is None or loaded.reason in _QUIET:
        return AdapterPhase.AVAILABLE, artifact.reason, artifact.message
    phases = {"True": AdapterPhase.LOADED, "Unknown": AdapterPhase.LOADING, "False": AdapterPhase.DEGRADED}
    return phases[loaded.status], loaded.reason, loaded.message
