"""What a job may have to wait for, or run into, on a real API server before it has a pod; and what it says then."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import ADAPTERS, CONFIG_MAPS, JOBS, TRAINING_JOBS, ApiError, Manifest, ResourceKind
from fettle_schema.names import FIELD_MANAGER_RECEIVER
from tests.integration.operator.conftest import operated_namespace
from tests.support.api_server import CRDS, install_crds
from tests.support.fake_kubelet import training_job
from tests.support.operator_process import Namespace
from tests.support.polling import eventually

QUOTAS = ResourceKind("v1", "ResourceQuota", "resourcequotas")
IMPATIENT = {"FETTLE_SOURCE_CHECK_SECONDS": "0.5", "FETTLE_POD_START_TIMEOUT_SECONDS": "8"}


@pytest.fixture(scope="module")
def operated(cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with operated_namespace(cluster, tmp_path_factory.mktemp("operator"), **IMPATIENT) as name:
        yield name


@pytest.fixture
async def world(client: KubernetesClient, operated: str) -> Namespace:
    return Namespace(client, operated)


async def condition(world: Namespace, name: str, condition_type: str) -> Manifest:
    conditions = (await world.status(name)).get("conditions") or []
    return next((dict(each) for each in conditions if each["type"] == condition_type), {})


async def test_a_job_waits_for_its_source_and_for_a_checkpoint_of_it(world: Namespace) -> None:
    await world.submit("second", startFrom={"trainingJob": "source"})
    status = await world.reaches("Pending", "second", reason="SourceMissing")
    assert status["message"] == "spec.startFrom.trainingJob: there is no TrainingJob 'source'"
    await world.submit("source")
    status = await world.reaches("Pending", "second", reason="SourceNotReady")
    assert "has no checkpoint 'latest' yet" in status["message"]

    checkpoint = {"name": "checkpoint-5", "step": 5, "attempt": 1, "path": "jobs/source/checkpoint-5"}
    reported = {"checkpoints": [checkpoint]}
    await world.client.apply_status(TRAINING_JOBS, "source", world.name, reported, FIELD_MANAGER_RECEIVER)
    await world.reaches("Starting", "second")
    await world.pod_runs(job="source")
    await world.reaches("Running", "source")
    saved = await condition(world, "source", "CheckpointAvailable")
    assert (saved["reason"], saved["message"]) == ("Saved", "checkpoint-5 of attempt 1")


async def test_a_pod_of_which_nothing_is_heard_is_starting(world: Namespace) -> None:
    await world.submit("bound")
    name = (await world.pod(job="bound"))["metadata"]["name"]
    await world.reaches("Starting", "bound", reason="Unschedulable")  # the scheduler has said it, and says it no more
    binding = {"metadata": {"name": name, "namespace": world.name}, "target": {"kind": "Node", "name": "nowhere"}}
    await world.client.create(ResourceKind("v1", "Binding", f"pods/{name}/binding"), binding)
    status = await world.reaches("Starting", "bound", reason="PodPending")
    assert status["message"] == f"pod {name!r} is starting"


async def test_a_quota_is_waited_for(world: Namespace) -> None:
    async with quota(world, {"count/jobs.batch": "0"}):
        await world.submit("surplus")
        status = await world.reaches("Starting", "surplus", reason="CreateForbidden")
        assert "the API server refuses Job 'surplus-a1'" in status["message"]
    await world.pod(job="surplus")


async def test_a_job_that_has_no_pod_yet_is_starting(world: Namespace) -> None:
    async with quota(world, {"pods": "0"}):
        await world.submit("crowded")
        status = await world.reaches("Starting", "crowded", reason="PodsPending")
        assert status["message"] == "Job 'crowded-a1' has no running pod yet"
        assert (await condition(world, "crowded", "PodsReady"))["reason"] == "PodsPending"
        await world.edit("crowded", cancel=True)
        await world.reaches("Cancelled", "crowded")


@pytest.mark.slow
async def test_a_job_whose_pods_are_refused_says_where_to_look(world: Namespace) -> None:
    async with quota(world, {"pods": "0"}):
        await world.submit("podless")
        status = await world.reaches("Failed", "podless", reason="PodRefused")
    assert status["message"] == (
        "Job 'podless-a1' got no pod: see `kubectl describe job podless-a1` (quota, Pod Security)"
    )


async def test_what_an_earlier_job_of_the_name_has_left_is_waited_for(world: Namespace) -> None:
    await world.submit("again")
    await world.pod(job="again")
    kept: dict[str, Any] = {"metadata": {"finalizers": ["fettle-tests/kept"]}}
    await world.client.patch(CONFIG_MAPS, "again-a1", world.name, kept)
    await world.client.delete(TRAINING_JOBS, "again", world.name)
    for kind in (JOBS, CONFIG_MAPS):  # what the garbage collector does, as soon as it knows the kind of their owner
        await world.client.delete(kind, "again-a1", world.name)
    assert (await world.client.get(CONFIG_MAPS, "again-a1", world.name))["metadata"]["deletionTimestamp"]
    await world.submit("again")
    status = await world.reaches("Starting", "again", reason="WaitingForCleanup")
    assert status["message"] == "waiting until ConfigMap 'again-a1' of an earlier job of this name is removed"
    await world.client.patch(CONFIG_MAPS, "again-a1", world.name, {"metadata": {"finalizers": None}})
    await world.pod(job="again")


@pytest.mark.parametrize(("preflight", "attempt"), [("skip", 1), ("always", 0)])
async def test_a_name_that_is_somebody_elses_is_left_to_them(world: Namespace, preflight: str, attempt: int) -> None:
    job, name = f"taken-{preflight}", f"taken-{preflight}-a{attempt}"
    taken = {"metadata": {"name": name, "namespace": world.name}, "data": {"theirs": "yes"}}
    await world.client.create(CONFIG_MAPS, taken)
    await world.submit(job, preflight=preflight)
    status = await world.reaches("Failed", job, reason="NameConflict")
    assert status["message"] == f"ConfigMap {name!r} exists already and does not belong to this job."
    assert (await world.client.get(CONFIG_MAPS, name, world.name))["data"] == {"theirs": "yes"}


async def test_an_adapter_that_is_somebody_elses_ends_the_job_before_it_runs(world: Namespace) -> None:
    spec = {"baseModel": {"id": "models/tiny"}, "source": {"workspace": {"path": "adapters/theirs/1"}}}
    adapter = {"metadata": {"name": "theirs", "namespace": world.name}, "spec": {**spec, "servedName": "theirs"}}
    await world.client.create(ADAPTERS, {"apiVersion": "fettle.dev/v1alpha1", "kind": "Adapter", **adapter})
    await world.submit("theirs")
    status = await world.reaches("Failed", "theirs", reason="AdapterConflict")
    assert status["message"] == "Adapter 'theirs' exists already and belongs to another source."
    assert "spec.output.adapterName" in status["failure"]["hint"]


async def test_a_spec_that_an_older_crd_let_through_fails_by_the_field(
    world: Namespace, client: KubernetesClient
) -> None:
    async with crd_without_rules(client, world.name):
        await world.submit("invalid", baseModel={"id": "a/b", "path": "models/tiny"})
        status = await world.reaches("Failed", "invalid", reason="ConfigurationInvalid")
    assert "spec.baseModel" in status["message"]
    assert (await condition(world, "invalid", "Accepted"))["reason"] == "Invalid"


@asynccontextmanager
async def quota(world: Namespace, hard: Manifest) -> AsyncIterator[None]:
    """A ResourceQuota that is in force."""
    metadata = {"name": "tight", "namespace": world.name}
    await world.client.create(QUOTAS, {"metadata": metadata, "spec": {"hard": hard}})

    async def is_counted() -> bool:
        found = await world.client.get(QUOTAS, "tight", world.name)
        return (found.get("status") or {}).get("hard") == hard

    await eventually(is_counted, "the quota is in force")
    try:
        yield
    finally:
        await world.client.delete(QUOTAS, "tight", world.name)


@asynccontextmanager
async def crd_without_rules(client: KubernetesClient, namespace: str) -> AsyncIterator[None]:
    """The CustomResourceDefinition without its CEL rules, as if the operator were newer than it."""
    crd = await client.get(CRDS, "trainingjobs.fettle.dev", "")
    schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    _remove_rules(schema)
    await client.replace(CRDS, {**crd, "apiVersion": CRDS.api_version, "kind": CRDS.kind})
    broken = training_job("probe", baseModel={"id": "a/b", "path": "models/tiny"})
    broken["metadata"]["namespace"] = namespace

    async def lets_it_through() -> bool:
        try:
            await client.create(TRAINING_JOBS, broken, dry_run=True)
        except ApiError:
            return False
        return True

    async def refuses_it() -> bool:
        return not await lets_it_through()

    try:
        await eventually(lets_it_through, "the rules are gone")
        yield
    finally:
        await install_crds(client)
        await eventually(refuses_it, "the rules are back")


def _remove_rules(schema: Manifest) -> None:
    schema.pop("x-kubernetes-validations", None)
    for field in (schema.get("properties") or {}).values():
        _remove_rules(field)
