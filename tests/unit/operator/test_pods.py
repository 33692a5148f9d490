"""Which pods still hold an attempt open."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from fettle_operator.pods import is_live

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)


def pod(phase: str, deleted_seconds_ago: float | None = None) -> dict[str, Any]:
    metadata: dict[str, Any] = {"name": "demo-a1-x"}
    if deleted_seconds_ago is not None:
        metadata["deletionTimestamp"] = (NOW - timedelta(seconds=deleted_seconds_ago)).isoformat()
    return {"metadata": metadata, "status": {"phase": phase}}


@pytest.mark.parametrize(
    ("candidate", "expected"),
    [
        (pod("Running"), True),
        (pod("Succeeded"), False),
        (pod("Failed"), False),
        (pod("Running", deleted_seconds_ago=5), True),
        (pod("Failed", deleted_seconds_ago=5), True),
        (pod("Running", deleted_seconds_ago=500), False),
        (pod("Failed", deleted_seconds_ago=500), False),
    ],
)
def test_a_pod_is_live_until_it_has_ended_and_a_deleted_one_until_it_is_gone_or_lost(
    candidate: dict[str, Any], expected: bool
) -> None:
    assert is_live(candidate, NOW, 120) is expected
