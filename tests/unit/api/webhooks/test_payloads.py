import json
from typing import Any

import pytest

from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job
from fettle_api.webhooks.payloads import message_body, message_id

OUTPUT = {"kind": "adapter", "path": "adapters/x/1", "digest": "sha256:1"}
FAILURE = {"code": "DatasetInvalid", "message": "row 1 is empty", "hint": "fill it"}
ENDED = {"startTime": "2026-01-01T12:00:00Z", "completionTime": "2026-01-01T12:30:00Z"}


def job(form: str, name: str = "demo", **status: Any) -> JobView:
    annotations = {"fettle.dev/dialect": "ainode", "fettle.dev/original-id": "0123456789ab"}
    metadata = {"name": name, "uid": "u-1", "creationTimestamp": "2026-01-01T11:00:00Z", "annotations": annotations}
    spec = {"baseModel": {"id": "a/b"}, "webhook": {"url": "https://example.com/x", "format": form}}
    return view_job({"metadata": metadata, "spec": spec, "status": status})


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            {"phase": "Succeeded", "output": OUTPUT},
            {"job_id": "demo", "status": "completed", "tracking_url": None, "output_path": "adapters/x/1"},
        ),
        ({"phase": "Failed", "failure": FAILURE}, {"job_id": "demo", "status": "failed", "error": "row 1 is empty"}),
        ({"phase": "Failed"}, {"job_id": "demo", "status": "failed", "error": None}),
        (
            {"phase": "Cancelled", "failure": FAILURE},
            {"job_id": "demo", "status": "cancelled", "error": "The training job was cancelled"},
        ),
    ],
)
def test_the_clusters_own_shape(status: dict[str, Any], body: dict[str, Any]) -> None:
    assert json.loads(message_body(job("cluster", **status), "ns")) == body


def test_the_clusters_id_of_its_job() -> None:
    name = "j550e8400-e29b-41d4-a716-446655440000"
    assert json.loads(message_body(job("cluster", name, phase="Failed"), "ns"))["job_id"] == name[1:]


@pytest.mark.parametrize(
    ("status", "kind", "data"),
    [
        ({"phase": "Succeeded", "output": OUTPUT, "adapter": "x"}, "succeeded", {"output": OUTPUT, "adapter": "x"}),
        ({"phase": "Failed", "failure": FAILURE, "reason": "R"}, "failed", {"failure": FAILURE, "reason": "R"}),
        ({"phase": "Cancelled"}, "cancelled", {}),
    ],
)
def test_the_standard_shape(status: dict[str, Any], kind: str, data: dict[str, Any]) -> None:
    assert json.loads(message_body(job("standard", **ENDED, **status), "ns")) == {
        "type": f"training_job.{kind}",
        "timestamp": ENDED["completionTime"],
        "data": {
            "name": "demo",
            "namespace": "ns",
            "uid": "u-1",
            "dialect": "ainode",
            "originalId": "0123456789ab",
            "method": "sft",
            "phase": kind.capitalize(),
            **ENDED,
            **data,
        },
    }


def test_the_url_is_in_no_message() -> None:
    assert b"example.com" not in message_body(job("standard", phase="Failed"), "ns")


def test_the_id_is_the_jobs() -> None:
    assert message_id(job("cluster", phase="Failed")) == "msg_u-1"
