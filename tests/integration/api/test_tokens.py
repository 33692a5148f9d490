"""Tokens and rights against a real API server: the facade answers as the server itself would."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import ResourceKind
from tests.support.facade import running_facade

ACCOUNTS = ResourceKind("v1", "ServiceAccount", "serviceaccounts")
ROLES = ResourceKind("rbac.authorization.k8s.io/v1", "Role", "roles")
BINDINGS = ResourceKind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings")
JOBS = "/api/training/jobs"
RULES = [
    {"apiGroups": ["fettle.dev"], "resources": ["trainingjobs"], "verbs": ["get", "list", "create"]},
    {"apiGroups": ["fettle.dev"], "resources": ["trainingjobs/log"], "verbs": ["get"]},
]


@pytest.fixture
async def caller(client: KubernetesClient, namespace: str, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    options = {"namespace": namespace, "authentication": "token", "host": "0.0.0.0"}
    async with running_facade(tmp_path, client=client, **options) as facade, facade.caller() as caller:
        yield caller


async def token_of(client: KubernetesClient, namespace: str, name: str, audience: str | None = None) -> str:
    """A token of a new service account; for the API server itself if no audience is named."""
    await client.create(ACCOUNTS, {"metadata": {"name": name, "namespace": namespace}})
    tokens = ResourceKind("v1", "TokenRequest", f"serviceaccounts/{name}/token")
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"namespace": namespace},
        "spec": {"audiences": [audience] if audience else []},
    }
    return str((await client.create(tokens, request))["status"]["token"])


async def grant(client: KubernetesClient, namespace: str, name: str) -> None:
    metadata = {"name": name, "namespace": namespace}
    await client.create(ROLES, {"metadata": metadata, "rules": RULES})
    subject = {"kind": "ServiceAccount", "name": name, "namespace": namespace}
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": name}
    await client.create(BINDINGS, {"metadata": metadata, "roleRef": role, "subjects": [subject]})


def bearing(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


async def test_who_has_the_rights_is_served(
    client: KubernetesClient, namespace: str, caller: httpx.AsyncClient
) -> None:
    headers = bearing(await token_of(client, namespace, "trainer"))
    await grant(client, namespace, "trainer")
    made = await caller.post(JOBS, headers=headers, json={"base_model": "a/b", "dataset_path": "d"})
    assert made.status_code == 201
    job = f"{JOBS}/{made.json()['job_id']}"
    assert (await caller.get(JOBS, headers=headers)).status_code == 200
    assert (await caller.get(f"{job}/logs", headers=headers)).status_code == 200
    assert (await caller.get(f"{JOBS}/unknown", headers=headers)).status_code == 404
    for method, path in (("DELETE", job), ("POST", f"{job}/merge"), ("GET", f"{job}/output"), ("GET", "/api/datasets")):
        answer = await caller.request(method, path, headers=headers)
        assert answer.status_code == 403
        assert f'"system:serviceaccount:{namespace}:trainer" cannot' in answer.json()["error"]


async def test_who_has_no_rights_is_refused_before_anything_is_looked_up(
    client: KubernetesClient, namespace: str, caller: httpx.AsyncClient
) -> None:
    headers = bearing(await token_of(client, namespace, "stranger"))
    for path in (JOBS, f"{JOBS}/unknown", f"{JOBS}/unknown/logs"):
        assert (await caller.get(path, headers=headers)).status_code == 403


async def test_a_token_for_something_else_is_none(
    client: KubernetesClient, namespace: str, caller: httpx.AsyncClient
) -> None:
    token = await token_of(client, namespace, "pod", f"fettle.dev/progress/{namespace}/demo/1")
    await grant(client, namespace, "pod")
    for headers in ({}, bearing(token), bearing("guess"), bearing(token[:-3])):
        assert (await caller.get(JOBS, headers=headers)).status_code == 401
