"""Resources as kubectl shows them."""

from datetime import UTC, datetime
from typing import Any

import pytest

from fettle_client.protocol import ADAPTERS, TRAINING_JOBS, Manifest, ResourceKind
from fettle_local.description import describe_manifest
from fettle_local.tables import kind_named, reference, table, without_secrets
from fettle_schema.validation import admit
from tests.support.manifest_cases import GOOD_JOB

NOW = datetime(2026, 1, 1, 0, 3, 20, tzinfo=UTC)


def job(**status: Any) -> Manifest:
    manifest = admit(GOOD_JOB)
    stored = {"name": "demo", "namespace": "default", "uid": "u", "creationTimestamp": "2026-01-01T00:00:00Z"}
    return {**manifest, "metadata": stored, "status": status}


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("tj", TRAINING_JOBS),
        ("TrainingJob", TRAINING_JOBS),
        ("trainingjobs.fettle.dev", TRAINING_JOBS),
        ("adapter", ADAPTERS),
        ("adp", ADAPTERS),
    ],
)
def test_kinds_have_the_names_that_kubectl_knows(text: str, kind: ResourceKind) -> None:
    assert kind_named(text) == kind


def test_a_job_is_a_row() -> None:
    progress = {"summary": "12/50", "loss": 1.5, "eta": "38s"}
    attempts = {"failures": 1, "preemptions": 2}
    lines = table(TRAINING_JOBS, [job(phase="Running", progress=progress, attempts=attempts)], False, NOW).splitlines()
    assert lines[0].split() == ["NAME", "PHASE", "STEP", "LOSS", "ETA", "GPUS", "RESTARTS", "AGE"]
    assert lines[1].split() == ["demo", "Running", "12/50", "1.5", "38s", "0", "3", "3m20s"]


def test_wide_shows_more() -> None:
    header, row = table(TRAINING_JOBS, [job(phase="Failed", reason="DatasetInvalid")], True, NOW).splitlines()
    assert header.split()[7:] == ["METHOD", "MODEL", "QUEUE", "ADAPTER", "REASON", "AGE"]
    assert "models/tiny" in row
    assert "DatasetInvalid" in row


def test_names_are_written_as_kubectl_writes_them() -> None:
    assert reference(TRAINING_JOBS, "demo") == "trainingjob.fettle.dev/demo"


def test_a_description_ends_with_conditions_and_events() -> None:
    condition = {"type": "Failed", "status": "True", "reason": "DatasetInvalid", "message": "row 3"}
    event = {
        "metadata": {"creationTimestamp": "2026-01-01T00:03:00Z"},
        "type": "Warning",
        "reason": "Failed",
        "message": "row 3 has no answer",
    }
    lines = describe_manifest(job(phase="Failed", conditions=[condition]), [event], NOW).splitlines()
    assert lines[0] == "Name:       demo"
    assert lines[-4:] == [
        "Conditions:",
        "  Failed  True  DatasetInvalid  row 3",
        "Events:",
        "  20s  Warning  Failed  row 3 has no answer",
    ]


def test_secrets_stay_secret() -> None:
    assert without_secrets({"kind": "Secret", "data": {"a": "YQ=="}})["data"] == {"a": "***"}
