"""What the builders make, as the API server and Pod Security see it."""

from pathlib import Path

import pytest

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import ADAPTERS, CONFIG_MAPS, JOBS, PODS, SERVICES, ApiError
from fettle_schema.manifests import load_manifests
from tests.support.api_server import NAMESPACES
from tests.support.polling import eventually

GOLDENS = Path(__file__).resolve().parents[2] / "unit" / "operator" / "goldens"
KINDS = {kind.kind: kind for kind in (CONFIG_MAPS, SERVICES, JOBS, ADAPTERS)}


@pytest.mark.parametrize("name", ["small", "large"])
async def test_every_golden_is_taken_without_a_warning_field(
    client: KubernetesClient, namespace: str, name: str
) -> None:
    for manifest in load_manifests((GOLDENS / f"{name}.yaml").read_text()):
        manifest["metadata"]["namespace"] = namespace
        taken = await client.create(KINDS[manifest["kind"]], manifest, dry_run=True)
        assert taken["metadata"]["name"] == manifest["metadata"]["name"]


async def test_the_pod_passes_the_restricted_standard(client: KubernetesClient, namespace: str) -> None:
    enforced = {"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "restricted"}}}
    await client.patch(NAMESPACES, namespace, "", enforced)
    run = next(m for m in load_manifests((GOLDENS / "small.yaml").read_text()) if m["kind"] == "Job")
    template = run["spec"]["template"]
    pod = {"metadata": {"name": "demo", "namespace": namespace, **template["metadata"]}, "spec": template["spec"]}
    refused = {**pod, "spec": {**template["spec"], "hostNetwork": True}}

    async def is_enforced() -> bool:
        try:
            await client.create(PODS, refused, dry_run=True)
        except ApiError as error:
            return "violates PodSecurity" in str(error)
        return False

    await eventually(is_enforced, "Pod Security is enforced")
    await client.create(PODS, pod, dry_run=True)
