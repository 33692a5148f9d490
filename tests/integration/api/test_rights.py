"""The chart's Role is enough for what the facade does, and for nothing else: tried with its ServiceAccount's token."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from fettle_api.adapters.current import CONFIG_MAP, CurrentAdapter
from fettle_api.adapters.registry import Adapters
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.jobs.claims import Claims
from fettle_api.webhooks.lease import SenderLease
from fettle_client.kubernetes import KubernetesClient, connect
from fettle_client.protocol import ADAPTERS, CONFIG_MAPS, LEASES, SECRETS, ApiError, Manifest, ResourceKind
from tests.cluster import CONTEXT
from tests.unit.chart.conftest import Render
from tests.unit.chart.conftest import helm as helm
from tests.unit.chart.conftest import render as render

ACCOUNT = "fettle-api"
RBAC = "rbac.authorization.k8s.io/v1"
OURS = {
    "ServiceAccount": ResourceKind("v1", "ServiceAccount", "serviceaccounts"),
    "Role": ResourceKind(RBAC, "Role", "roles"),
    "RoleBinding": ResourceKind(RBAC, "RoleBinding", "rolebindings"),
}


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def facade(
    cluster: Path, client: KubernetesClient, namespace: str, render: Render, tmp_path: Path
) -> AsyncIterator[KubernetesClient]:
    """A client that may do what the chart lets the facade do."""
    for manifest in render():
        if manifest["kind"] in OURS and manifest["metadata"]["name"] == ACCOUNT:
            await client.create(OURS[manifest["kind"]], in_namespace(manifest, namespace))
    path = tmp_path / "kubeconfig"
    write_kubeconfig(path, cluster, await new_token(client, namespace))
    facade = await connect(str(path))
    yield facade
    await facade.close()


def in_namespace(manifest: Manifest, namespace: str) -> Manifest:
    changed = {**manifest, "metadata": {**manifest["metadata"], "namespace": namespace}}
    if "subjects" in manifest:
        changed["subjects"] = [{**subject, "namespace": namespace} for subject in manifest["subjects"]]
    return changed


async def new_token(client: KubernetesClient, namespace: str) -> str:
    kind = ResourceKind("v1", "TokenRequest", f"serviceaccounts/{ACCOUNT}/token")
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "metadata": {"namespace": namespace},
        "spec": {"expirationSeconds": 600},
    }
    return str((await client.create(kind, request))["status"]["token"])


def write_kubeconfig(path: Path, admins: Path, token: str) -> None:
    kubeconfig = yaml.safe_load(admins.read_text())
    assert kubeconfig["current-context"] == CONTEXT
    users = [{**user, "user": {"token": token}} for user in kubeconfig["users"]]
    path.write_text(json.dumps({**kubeconfig, "users": users}))


@pytest.mark.parametrize("dialect", ["cluster", "milady"])
async def test_claims(facade: KubernetesClient, namespace: str, dialect: str) -> None:
    async def is_in_the_way(name: str) -> bool | None:
        return False

    claims = Claims(facade, namespace, now)
    claim = await claims.take(f"fettle-submit-{dialect}", "one", is_in_the_way)
    assert await claims.confirm(claim)
    await claims.give_back(await claims.take(f"fettle-submit-{dialect}", "two", is_in_the_way))


async def test_the_lease_of_the_webhooks(facade: KubernetesClient, namespace: str) -> None:
    lease = SenderLease(facade, namespace, "one")
    assert await lease.hold()
    assert await lease.hold()
    await lease.release()
    assert await SenderLease(facade, namespace, "two").hold()


async def test_adapters_and_which_is_current(facade: KubernetesClient, namespace: str, tmp_path: Path) -> None:
    adapters = Adapters(facade, namespace, Workspace(tmp_path), WorkspaceWriter(tmp_path))
    adapters.start()
    await adapters.ensure("helper", "a/b", {"workspace": {"path": "uploads/helper"}})
    assert (await adapters.ask_for_loading("helper", True)).spec.serving.load
    current = CurrentAdapter(facade, namespace)
    assert await current.get() is None
    for name in ("helper", "other", None):
        await current.put(name)
        assert await current.get() == name
    await adapters.delete("helper")
    assert await adapters.all() == []
    await adapters.stop()


@pytest.mark.parametrize(
    ("kind", "name"), [(LEASES, "fettle-operator"), (CONFIG_MAPS, "kube-root-ca.crt"), (SECRETS, "any")]
)
async def test_what_is_not_the_facades_is_forbidden(
    facade: KubernetesClient, namespace: str, kind: ResourceKind, name: str
) -> None:
    for call in (facade.get(kind, name, namespace), facade.list(kind, namespace)):
        with pytest.raises(ApiError) as refusal:
            await call
        assert refusal.value.status == 403
    with pytest.raises(ApiError) as refusal:
        await facade.patch(kind, name, namespace, {"metadata": {"labels": {"a": "b"}}})
    assert refusal.value.status == 403


async def test_nothing_of_its_own_is_listed_or_deleted(facade: KubernetesClient, namespace: str) -> None:
    for kind, name in ((LEASES, "fettle-webhooks"), (CONFIG_MAPS, CONFIG_MAP)):
        for call in (facade.list(kind, namespace), facade.delete(kind, name, namespace)):
            with pytest.raises(ApiError) as refusal:
                await call
            assert refusal.value.status == 403
    with pytest.raises(ApiError) as refusal:
        await facade.apply_status(ADAPTERS, "helper", namespace, {"phase": "Loaded"}, "fettle-api")
    assert refusal.value.status == 403
