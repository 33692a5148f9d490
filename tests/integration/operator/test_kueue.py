"""Jobs that are left to Kueue, with the real Kueue: who waits is told why in Kueue's words, and its Job is created once
and never touched again.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from fettle_client.kubernetes import KubernetesClient, connect
from fettle_client.protocol import JOBS, PODS, Manifest, ResourceKind
from fettle_schema.names import FIELD_MANAGER_OPERATOR
from tests.cluster import Cluster
from tests.cluster.kueue import Kueue
from tests.integration.operator.conftest import operated_namespace
from tests.support.api_server import install_crds
from tests.support.operator_process import Namespace
from tests.support.polling import eventually

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

API = "kueue.x-k8s.io/v1beta2"
FLAVORS = ResourceKind(API, "ResourceFlavor", "resourceflavors", namespaced=False)
CLUSTER_QUEUES = ResourceKind(API, "ClusterQueue", "clusterqueues", namespaced=False)
LOCAL_QUEUES = ResourceKind(API, "LocalQueue", "localqueues")
QUOTA = {"cpu": "1", "memory": "8Gi"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A control plane of its own: Kueue's webhooks would be in the way of other tests."""
    cluster = Cluster(tmp_path_factory.mktemp("kueue"))
    cluster.up()
    try:
        Kueue(cluster).up()
        asyncio.run(prepare(cluster.kubeconfig))
        yield cluster.kubeconfig
    finally:
        cluster.down()


async def prepare(kubeconfig: Path) -> None:
    """Our kinds, and a ClusterQueue with one CPU."""
    client = await connect(str(kubeconfig))
    resources = [{"name": name, "nominalQuota": quota} for name, quota in QUOTA.items()]
    group = {"coveredResources": list(QUOTA), "flavors": [{"name": "default", "resources": resources}]}
    try:
        await install_crds(client)
        await client.create(FLAVORS, manifest(FLAVORS, "default"))
        spec = {"namespaceSelector": {}, "resourceGroups": [group]}
        await client.create(CLUSTER_QUEUES, manifest(CLUSTER_QUEUES, "all", spec=spec))
    finally:
        await client.close()


def manifest(kind: ResourceKind, name: str, namespace: str | None = None, **content: Any) -> Manifest:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, **content}


@pytest.fixture(scope="module")
def operated(cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("operator")
    with operated_namespace(cluster, folder, FETTLE_SOURCE_CHECK_SECONDS="1") as name:
        yield name


@pytest.fixture
async def world(client: KubernetesClient, operated: str) -> AsyncIterator[Namespace]:
    world = Namespace(client, operated)
    await client.apply(
        LOCAL_QUEUES, manifest(LOCAL_QUEUES, "team", operated, spec={"clusterQueue": "all"}), "fettle-tests"
    )
    yield world
    await client.patch(CLUSTER_QUEUES, "all", "", {"spec": {"stopPolicy": "None"}})


async def submit(world: Namespace, name: str, queue: str = "team") -> None:
    resources = {"gpusPerNode": 0, "cpu": "1", "memory": "1Gi"}
    await world.submit(name, scheduling={"kueueQueue": queue}, resources=resources)


async def is_told(world: Namespace, name: str, words: str) -> Manifest:
    async def is_so() -> bool:
        status = await world.status(name)
        said = status.get("message") or ""
        return (status.get("phase"), status.get("reason")) == ("Queued", "WaitingForKueue") and words in said

    await eventually(is_so, f"{name} is told {words!r}")
    return await world.status(name)


async def test_a_job_waits_for_quota_and_starts_when_there_is_some(world: Namespace) -> None:
    await submit(world, "first")
    await world.pod_runs(job="first")
    await world.reaches("Running", "first")
    await submit(world, "second")
    status = await is_told(world, "second", "insufficient unused quota for cpu in flavor default")
    assert status["message"].startswith("Kueue's queue 'team': ")
    admitted = next(condition for condition in status["conditions"] if condition["type"] == "Admitted")
    assert (admitted["status"], admitted["reason"]) == ("True", "Kueue")
    run = await world.client.get(JOBS, "second-a1", world.name)
    assert run["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert run["spec"]["suspend"] is True
    assert await pods_of(world, "second") == []

    await world.pod_ends(64, job="first")
    await world.reaches("Failed", "first")
    await world.pod_runs(job="second")
    await world.reaches("Running", "second")
    assert [entry["manager"] for entry in await managers(world, "second-a1")].count(FIELD_MANAGER_OPERATOR) <= 1
    await world.edit("second", cancel=True)
    await world.reaches("Cancelled", "second")


async def test_what_kueue_takes_back_waits_again_and_goes_on_in_the_same_attempt(world: Namespace) -> None:
    await submit(world, "third")
    await world.pod_runs(job="third")
    await world.reaches("Running", "third")
    await world.client.patch(CLUSTER_QUEUES, "all", "", {"spec": {"stopPolicy": "HoldAndDrain"}})
    await is_told(world, "third", "ClusterQueue")
    await world.client.patch(CLUSTER_QUEUES, "all", "", {"spec": {"stopPolicy": "None"}})
    await world.pod_runs(job="third")
    status = await world.reaches("Running", "third")
    assert status["attempts"]["current"] == 1
    assert status["attempts"]["failures"] == 0
    await world.edit("third", suspend=True)
    await world.reaches("Suspended", "third")
    await world.edit("third", suspend=False)
    await world.pod_runs(attempt=2, job="third")
    await world.reaches("Running", "third")
    await world.edit("third", cancel=True)
    await world.reaches("Cancelled", "third")


async def test_a_queue_that_is_not_there_is_named(world: Namespace) -> None:
    await submit(world, "lost", queue="tean")
    await is_told(world, "lost", "LocalQueue tean doesn't exist")
    await world.edit("lost", cancel=True)
    await world.reaches("Cancelled", "lost")


async def pods_of(world: Namespace, job: str) -> list[Manifest]:
    return (await world.client.list(PODS, world.name, label_selector=f"fettle.dev/training-job={job}")).items


async def managers(world: Namespace, run: str) -> list[Manifest]:
    found = await world.client.get(JOBS, run, world.name)
    return list(found["metadata"].get("managedFields") or [])
