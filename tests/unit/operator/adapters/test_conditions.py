"""The phase of an Adapter is a function of its conditions."""

from datetime import UTC, datetime
from typing import Literal

import pytest

from fettle_operator.adapters.conditions import adapter_phase
from fettle_schema.status import Condition
from fettle_schema.vocabulary import AdapterPhase

Status = Literal["True", "False", "Unknown"]
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("artifact", "compatible", "loaded", "phase", "reason"),
    [
        (None, None, None, "Pending", "Pending"),
        (("Unknown", "Examining"), None, None, "Pending", "Examining"),
        (("Unknown", "Examining"), ("True", "Fits"), ("True", "Loaded"), "Pending", "Examining"),
        (("False", "DigestMismatch"), ("True", "Fits"), ("True", "Loaded"), "Failed", "DigestMismatch"),
        (("True", "Published"), None, None, "Available", "Published"),
        (("True", "Verified"), ("True", "Fits"), ("False", "NotRequested"), "Available", "Verified"),
        (("True", "Verified"), ("True", "Fits"), ("Unknown", "Unloading"), "Available", "Verified"),
        (("True", "Verified"), ("True", "Fits"), ("Unknown", "NotManaged"), "Available", "Verified"),
        (("True", "Verified"), ("False", "NotServable"), ("False", "NotRequested"), "Available", "Verified"),
        (("True", "Verified"), ("False", "NotServable"), ("False", "NotServable"), "Degraded", "NotServable"),
        (("True", "Verified"), ("False", "BaseModelMismatch"), None, "Failed", "BaseModelMismatch"),
        (("True", "Verified"), ("True", "Fits"), ("Unknown", "NoEngines"), "Loading", "NoEngines"),
        (("True", "Verified"), ("True", "SameName"), ("Unknown", "Loading"), "Loading", "Loading"),
        (("True", "Verified"), ("True", "Fits"), ("True", "Loaded"), "Loaded", "Loaded"),
        (("True", "Verified"), ("True", "Fits"), ("False", "EngineRefused"), "Degraded", "EngineRefused"),
    ],
)
def test_phase(
    artifact: tuple[Status, str] | None,
    compatible: tuple[Status, str] | None,
    loaded: tuple[Status, str] | None,
    phase: str,
    reason: str,
) -> None:
    given = {"ArtifactReady": artifact, "Compatible": compatible, "Loaded": loaded}
    conditions = [
        Condition(type=kind, status=one[0], reason=one[1], message=f"about {kind}", last_transition_time=NOW)
        for kind, one in given.items()
        if one is not None
    ]
    found = adapter_phase(conditions)
    assert found[:2] == (AdapterPhase(phase), reason)
    for order in (conditions[::-1], conditions[1:] + conditions[:1]):
        assert adapter_phase(order) == found
