"""What a request is about."""

import json

import pytest

from tests.faults.requests import Asked, asked

GROUP = "/apis/fettle.dev/v1alpha1/namespaces/n"


@pytest.mark.parametrize(
    ("method", "path", "name", "about"),
    [
        ("PATCH", f"{GROUP}/trainingjobs/demo/status", None, Asked("PATCH", "trainingjobs/demo/status", "demo")),
        ("POST", "/apis/batch/v1/namespaces/n/jobs", "demo-a12", Asked("POST", "jobs/demo-a12", "demo")),
        ("POST", "/api/v1/namespaces/n/configmaps", "a-b-a1", Asked("POST", "configmaps/a-b-a1", "a-b")),
        ("GET", f"{GROUP}/trainingjobs", None, Asked("GET", "trainingjobs", "")),
        ("POST", "/api/v1/namespaces/n/events", "demo.0f", Asked("POST", "events", "")),
        ("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/x", None, Asked("PUT", "leases/x", "")),
        ("GET", "/apis", None, Asked("GET", "", "")),
    ],
)
def test_a_request_is_read(method: str, path: str, name: str | None, about: Asked) -> None:
    body = json.dumps({"metadata": {"name": name}}).encode() if name else b""
    assert asked(method, path, body) == about


def test_only_writes_about_a_life_count() -> None:
    assert asked("PATCH", f"{GROUP}/adapters/demo/status", b"{}").is_write
    assert not asked("GET", f"{GROUP}/adapters/demo", b"").is_write
    assert not asked("PUT", "/apis/coordination.k8s.io/v1/namespaces/n/leases/x", b"").is_write
    assert not asked("POST", "/api/v1/namespaces/n/events", b'{"metadata": {"name": "x"}}').is_write
