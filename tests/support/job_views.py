"""The facade's view of a job, from the parts of its manifest that a test is about."""

from typing import Any

from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job


def job_view(
    spec: dict[str, Any] | None = None,
    status: dict[str, Any] | None = None,
    *,
    name: str = "demo",
    uid: str = "0123456789ab",
    **annotations: str,
) -> JobView:
    """`annotations` are ours, without `fettle.dev/`."""
    metadata = {
        "name": name,
        "uid": uid,
        "creationTimestamp": "2026-01-01T12:00:00Z",
        "annotations": {f"fettle.dev/{key}": value for key, value in annotations.items()},
    }
    given = {"baseModel": {"id": "a/b"}, **(spec or {})}
    return view_job({"metadata": metadata, "spec": given, "status": status or {}})
