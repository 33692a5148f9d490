"""Every manifest of the chart as a real API server takes it: unknown fields refused, Pod Security enforced."""

import pytest
import yaml

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import PODS, ApiError, Manifest, ResourceKind
from tests.cluster import prometheus
from tests.integration.chart.conftest import RenderHere, kind_of
from tests.integration.chart.kinds import KINDS, SERVICE_ACCOUNTS
from tests.support.api_server import CRDS, NAMESPACES
from tests.support.polling import eventually

EVERYTHING = (
    *(
        "engine.enabled=true",
        "engine.model=models/base",
        "api.ingress.enabled=true",
        "api.ingress.hosts.http=a.example",
    ),
    *("api.ingress.hosts.ainode=b.example", 'api.ingress.tls=[{"secretName": "cert", "hosts": ["a.example"]}]'),
    *("monitoring.serviceMonitor.enabled=true", "monitoring.prometheusRule.enabled=true"),
    *("monitoring.dashboard.enabled=true", "priorityClasses.training-low.value=-10"),
    'networkPolicy.metricsFrom=[{"namespaceSelector": {"matchLabels": {"a": "b"}}}]',
    'networkPolicy.apiFrom=[{"podSelector": {"matchLabels": {"a": "b"}}}]',
)
VALUES = {
    "default": (),
    "everything": EVERYTHING,
    "one node": (
        *EVERYTHING,
        'workspace.accessModes=["ReadWriteOnce"]',
        "operator.priorityClassName=system-cluster-critical",
    ),
    "token": ("api.authentication=token", "api.service.type=NodePort"),
    "little": ("api.enabled=false", "workspace.create=false", "networkPolicy.enabled=false", "operator.replicas=1"),
}


@pytest.fixture
async def prometheus_kinds(client: KubernetesClient, namespace: str) -> None:
    """The kinds of Prometheus' operator, which are not Kubernetes' own."""
    for path in prometheus.operator_crds():
        crd: Manifest = yaml.safe_load(path.read_text())
        await client.apply(CRDS, crd, "fettle-tests")
        kind: ResourceKind = KINDS[crd["spec"]["names"]["kind"]]

        async def is_served(kind: ResourceKind = kind) -> bool:
            try:
                await client.list(kind, namespace)
            except ApiError:
                return False
            return True

        await eventually(is_served, f"{kind.kind} is served")


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.usefixtures("prometheus_kinds")
async def test_the_api_server_takes_every_manifest(
    client: KubernetesClient, render_here: RenderHere, name: str
) -> None:
    manifests = render_here(*VALUES[name])
    assert len(manifests) > 10
    for manifest in manifests:
        kind, metadata = kind_of(manifest), manifest["metadata"]
        if kind == CRDS:
            await client.apply(kind, manifest, "fettle-tests")
        else:
            taken = await client.create(kind, manifest, dry_run=kind != SERVICE_ACCOUNTS)
            assert taken["metadata"]["name"] == metadata["name"]


@pytest.fixture
async def restricted(client: KubernetesClient, namespace: str) -> str:
    """The namespace, with the Pod Security Standard `restricted` enforced."""
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    await client.patch(NAMESPACES, namespace, "", enforced)

    async def is_enforced() -> bool:
        try:
            await client.create(
                PODS, pod_of(namespace, {"containers": [{"name": "one", "image": "one"}]}), dry_run=True
            )
        except ApiError as error:
            return "violates PodSecurity" in str(error)
        return False

    await eventually(is_enforced, "Pod Security is enforced")
    return namespace


async def test_every_pod_is_restricted(client: KubernetesClient, restricted: str, render_here: RenderHere) -> None:
    manifests = render_here(*EVERYTHING)
    for account in (one for one in manifests if one["kind"] == "ServiceAccount"):
        await client.create(SERVICE_ACCOUNTS, account)
    templates = [one for one in manifests if one["kind"] in ("Deployment", "Job")]
    pods = [pod_of(restricted, one["spec"]["template"]["spec"]) for one in templates]
    pods += [one for one in manifests if one["kind"] == "Pod"]
    assert len(pods) == 5, "operator, facade, engine, test, uninstall"
    for pod in pods:
        await client.create(PODS, pod, dry_run=True)
        with pytest.raises(ApiError, match="violates PodSecurity"):
            await client.create(PODS, pod_of(restricted, {**pod["spec"], "hostNetwork": True}), dry_run=True)


def pod_of(namespace: str, spec: Manifest) -> Manifest:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "one", "namespace": namespace}, "spec": spec}
