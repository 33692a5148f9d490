import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from fettle_client.protocol import (
    CONFIG_MAPS,
    JOBS,
    PODS,
    TRAINING_JOBS,
    AlreadyExistsError,
    ConflictError,
    GoneError,
    InvalidError,
    Manifest,
    NotFoundError,
    ResourceClient,
    ResourceKind,
    UnavailableError,
    WatchEvent,
)
from tests.support.memory_client import MemoryClient

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def client() -> MemoryClient:
    return MemoryClient(clock=lambda: NOW)


def manifest(name: str, namespace: str = "default", **fields: Any) -> Manifest:
    metadata = {"name": name, "namespace": namespace, **fields.pop("metadata", {})}
    return {"metadata": metadata, **fields}


async def next_event(client: MemoryClient, kind: ResourceKind, version: str, **selectors: str) -> WatchEvent:
    events = client.watch(kind, None, version, **selectors)
    async with asyncio.timeout(5):
        return await anext(events)


def owned_by(owner: Manifest, **metadata: Any) -> dict[str, Any]:
    reference = {"apiVersion": "v1", "kind": "X", "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}
    return {"ownerReferences": [reference], **metadata}


def test_it_is_a_resource_client(client: MemoryClient) -> None:
    port: ResourceClient = client
    assert port is client


async def test_create_fills_in_what_the_server_owns(client: MemoryClient) -> None:
    created = await client.create(TRAINING_JOBS, manifest("a", spec={"x": 1}, status={"phase": "Lie"}))
    assert created["apiVersion"] == "fettle.dev/v1alpha1"
    assert created["kind"] == "TrainingJob"
    assert "status" not in created
    assert created["metadata"]["creationTimestamp"] == "2025-01-02T03:04:05Z"
    assert created["metadata"]["generation"] == 1
    assert len(created["metadata"]["uid"]) == 36
    assert await client.get(TRAINING_JOBS, "a", "default") == created


async def test_create_makes_a_name_from_a_prefix(client: MemoryClient) -> None:
    created = await client.create(CONFIG_MAPS, {"metadata": {"generateName": "run-"}})
    assert created["metadata"]["name"].startswith("run-")


async def test_create_refuses_a_name_that_is_taken(client: MemoryClient) -> None:
    await client.create(CONFIG_MAPS, manifest("a"))
    await client.create(CONFIG_MAPS, manifest("a", "other"))
    with pytest.raises(AlreadyExistsError):
        await client.create(CONFIG_MAPS, manifest("a"))


async def test_dry_run_stores_nothing(client: MemoryClient) -> None:
    await client.create(CONFIG_MAPS, manifest("a"), dry_run=True)
    with pytest.raises(NotFoundError):
        await client.get(CONFIG_MAPS, "a", "default")


async def test_what_it_returns_can_be_changed_without_changing_it(client: MemoryClient) -> None:
    created = await client.create(CONFIG_MAPS, manifest("a", data={"k": "v"}))
    created["data"]["k"] = "changed"
    assert (await client.get(CONFIG_MAPS, "a", "default"))["data"] == {"k": "v"}


async def test_replace_wants_the_newest_version(client: MemoryClient) -> None:
    created = await client.create(CONFIG_MAPS, manifest("a", data={"k": "1"}))
    replaced = await client.replace(CONFIG_MAPS, {**created, "data": {"k": "2"}})
    assert int(replaced["metadata"]["resourceVersion"]) > int(created["metadata"]["resourceVersion"])
    assert replaced["metadata"]["uid"] == created["metadata"]["uid"]
    with pytest.raises(ConflictError):
        await client.replace(CONFIG_MAPS, {**created, "data": {"k": "3"}})
    with pytest.raises(InvalidError):
        await client.replace(CONFIG_MAPS, manifest("a"))


async def test_generation_counts_changes_of_the_spec_only(client: MemoryClient) -> None:
    await client.create(TRAINING_JOBS, manifest("a", spec={"x": 1}))
    labelled = await client.patch(TRAINING_JOBS, "a", "default", {"metadata": {"labels": {"l": "1"}}})
    assert labelled["metadata"]["generation"] == 1
    with_status = await client.apply_status(TRAINING_JOBS, "a", "default", {"phase": "Running"}, "m")
    assert with_status["metadata"]["generation"] == 1
    patched = await client.patch(TRAINING_JOBS, "a", "default", {"spec": {"x": 2}, "status": {"phase": "Lie"}})
    assert patched["metadata"]["generation"] == 2
    assert patched["status"] == {"phase": "Running"}


async def test_a_write_that_changes_nothing_keeps_the_version(client: MemoryClient) -> None:
    created = await client.create(CONFIG_MAPS, manifest("a", data={"k": "1"}))
    assert await client.patch(CONFIG_MAPS, "a", "default", {"data": {"k": "1"}}) == created


async def test_patch_merges_removes_and_checks_the_version(client: MemoryClient) -> None:
    created = await client.create(CONFIG_MAPS, manifest("a", data={"k": "1", "l": "2"}))
    patched = await client.patch(CONFIG_MAPS, "a", "default", {"data": {"k": None, "m": "3"}})
    assert patched["data"] == {"l": "2", "m": "3"}
    with pytest.raises(ConflictError):
        await client.patch(CONFIG_MAPS, "a", "default", {}, created["metadata"]["resourceVersion"])


async def test_apply_creates_then_removes_only_what_it_no_longer_names(client: MemoryClient) -> None:
    await client.apply(CONFIG_MAPS, manifest("a", data={"k": "1", "l": "1"}), "one")
    await client.apply(CONFIG_MAPS, manifest("a", data={"m": "2"}), "two")
    applied = await client.apply(CONFIG_MAPS, manifest("a", data={"k": "1"}), "one")
    assert applied["data"] == {"k": "1", "m": "2"}


async def test_apply_without_force_conflicts_over_a_field_of_another_manager(client: MemoryClient) -> None:
    await client.apply(CONFIG_MAPS, manifest("a", data={"k": "1"}), "one")
    with pytest.raises(ConflictError, match=r"data\.k"):
        await client.apply(CONFIG_MAPS, manifest("a", data={"k": "2"}), "two", force=False)
    assert (await client.apply(CONFIG_MAPS, manifest("a", data={"k": "2"}), "two"))["data"] == {"k": "2"}
    assert (await client.apply(CONFIG_MAPS, manifest("a", data={}), "one"))["data"] == {"k": "2"}


async def test_two_managers_share_a_status(client: MemoryClient) -> None:
    await client.create(TRAINING_JOBS, manifest("a", spec={}))
    running, complete = {"type": "Running", "status": "True"}, {"type": "Complete", "status": "True"}
    statuses: list[tuple[Manifest, str]] = [
        ({"phase": "Running", "message": "soon gone", "conditions": [running]}, "operator"),
        ({"progress": {"step": 1, "loss": 2.0}}, "receiver"),
        ({"phase": "Succeeded", "conditions": [complete]}, "operator"),
        ({"progress": {"step": 2}}, "receiver"),
    ]
    for status, manager in statuses:
        await client.apply_status(TRAINING_JOBS, "a", "default", status, manager)
    job = await client.get(TRAINING_JOBS, "a", "default")
    assert job["status"] == {"phase": "Succeeded", "conditions": [complete], "progress": {"step": 2}}


async def test_apply_status_checks_version_and_uid(client: MemoryClient) -> None:
    created = await client.create(TRAINING_JOBS, manifest("a", spec={}))
    version, uid = created["metadata"]["resourceVersion"], created["metadata"]["uid"]
    await client.apply_status(TRAINING_JOBS, "a", "default", {"phase": "Queued"}, "m", version, uid)
    with pytest.raises(ConflictError):
        await client.apply_status(TRAINING_JOBS, "a", "default", {"phase": "Failed"}, "m", version)
    with pytest.raises(ConflictError):
        await client.apply_status(TRAINING_JOBS, "a", "default", {"phase": "Failed"}, "m", uid="another")
    with pytest.raises(NotFoundError):
        await client.apply_status(TRAINING_JOBS, "b", "default", {}, "m")


@pytest.mark.parametrize(
    ("labels", "fields", "expected"),
    [
        (None, None, ["a", "b", "c"]),
        ("app=x", None, ["a", "b"]),
        ("app==x,tier!=db", None, ["a", "c"][:1]),
        ("tier!=db", None, ["a", "c"]),
        ("tier", None, ["b"]),
        ("!tier", None, ["a", "c"]),
        ("app in (y, z)", None, ["c"]),
        ("app notin (y,z),app", None, ["a", "b"]),
        (None, "metadata.name=b", ["b"]),
        (None, "status.phase!=Failed", ["a", "b"]),
        (None, "status.phase!=Failed,status.phase!=Running", ["b"]),
        ("app=x", "status.phase=Running", ["a"]),
    ],
)
async def test_list_selects(client: MemoryClient, labels: str | None, fields: str | None, expected: list[str]) -> None:
    client.seed(PODS, manifest("a", metadata={"labels": {"app": "x"}}, status={"phase": "Running"}))
    client.seed(PODS, manifest("b", metadata={"labels": {"app": "x", "tier": "db"}}))
    client.seed(PODS, manifest("c", metadata={"labels": {"app": "y"}}, status={"phase": "Failed"}))
    listed = await client.list(PODS, "default", labels, fields)
    assert [item["metadata"]["name"] for item in listed.items] == expected


async def test_list_keeps_namespaces_apart(client: MemoryClient) -> None:
    await client.create(CONFIG_MAPS, manifest("a", "one"))
    await client.create(CONFIG_MAPS, manifest("a", "two"))
    assert len((await client.list(CONFIG_MAPS, "one")).items) == 1
    assert len((await client.list(CONFIG_MAPS, None)).items) == 2


async def test_cluster_scoped_kinds_have_no_namespace(client: MemoryClient) -> None:
    nodes = ResourceKind("v1", "Node", "nodes", namespaced=False)
    await client.create(nodes, {"metadata": {"name": "n"}})
    assert "namespace" not in (await client.get(nodes, "n", ""))["metadata"]


async def test_delete_is_idempotent_and_spares_another_uid(client: MemoryClient) -> None:
    await client.create(CONFIG_MAPS, manifest("a"))
    await client.delete(CONFIG_MAPS, "a", "default", uid="another")
    assert client.item(CONFIG_MAPS, "a")
    await client.delete(CONFIG_MAPS, "a", "default")
    await client.delete(CONFIG_MAPS, "a", "default")
    assert client.item(CONFIG_MAPS, "a") is None


async def test_a_finalizer_holds_a_deleted_resource(client: MemoryClient) -> None:
    await client.create(CONFIG_MAPS, manifest("a", metadata={"finalizers": ["x/y"]}))
    await client.delete(CONFIG_MAPS, "a", "default")
    held = await client.get(CONFIG_MAPS, "a", "default")
    assert held["metadata"]["deletionTimestamp"] == "2025-01-02T03:04:05Z"
    await client.patch(CONFIG_MAPS, "a", "default", {"metadata": {"finalizers": None}})
    assert client.item(CONFIG_MAPS, "a") is None


async def test_children_go_with_their_last_owner(client: MemoryClient) -> None:
    owner = await client.create(TRAINING_JOBS, manifest("a", spec={}))
    job = await client.create(JOBS, manifest("a-a1", metadata=owned_by(owner)))
    await client.create(PODS, manifest("a-a1-x", metadata=owned_by(job)))
    await client.delete(TRAINING_JOBS, "a", "default")
    assert not client.items(JOBS)
    assert not client.items(PODS)


async def test_foreground_deletion_waits_for_the_children(client: MemoryClient) -> None:
    job = await client.create(JOBS, manifest("a"))
    await client.create(PODS, manifest("p", metadata=owned_by(job, finalizers=["x/y"])))
    await client.delete(JOBS, "a", "default", propagation="Foreground")
    for kind, name in [(JOBS, "a"), (PODS, "p")]:
        assert (await client.get(kind, name, "default"))["metadata"]["deletionTimestamp"]
    await client.patch(PODS, "p", "default", {"metadata": {"finalizers": []}})
    assert not client.items(PODS)
    assert not client.items(JOBS)


async def test_watch_tells_the_past_and_what_comes(client: MemoryClient) -> None:
    start = (await client.list(CONFIG_MAPS, None)).resource_version
    await client.create(CONFIG_MAPS, manifest("a"))
    events = client.watch(CONFIG_MAPS, "default", start)
    assert (await anext(events)).type == "ADDED"
    coming = asyncio.ensure_future(anext(events))
    await client.create(PODS, manifest("unrelated"))
    await client.patch(CONFIG_MAPS, "a", "default", {"data": {"k": "v"}})
    changed = await coming
    assert (changed.type, changed.manifest["data"]) == ("MODIFIED", {"k": "v"})
    await client.delete(CONFIG_MAPS, "a", "default")
    assert (await anext(events)).type == "DELETED"


async def test_a_resource_that_leaves_the_selection_is_deleted_for_the_watch(client: MemoryClient) -> None:
    created = await client.create(PODS, manifest("a", metadata={"labels": {"app": "x"}}))
    version = created["metadata"]["resourceVersion"]
    await client.patch(PODS, "a", "default", {"metadata": {"labels": {"app": "y"}}})
    assert (await next_event(client, PODS, version, label_selector="app=x")).type == "DELETED"
    assert (await next_event(client, PODS, version, label_selector="app=y")).type == "ADDED"


async def test_watch_from_a_forgotten_version_is_gone(client: MemoryClient) -> None:
    created = await client.create(CONFIG_MAPS, manifest("a"))
    await client.create(CONFIG_MAPS, manifest("b"))
    client.forget_history()
    with pytest.raises(GoneError):
        await next_event(client, CONFIG_MAPS, created["metadata"]["resourceVersion"])


async def test_close_ends_watches(client: MemoryClient) -> None:
    async def watch() -> list[WatchEvent]:
        return [event async for event in client.watch(CONFIG_MAPS, None, "0")]

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    await client.close()
    async with asyncio.timeout(5):
        assert await watching == []


async def test_a_fault_hits_the_next_call_of_its_verb_and_kind(client: MemoryClient) -> None:
    client.fail_next("create", UnavailableError(503, "ServiceUnavailable", "down"), JOBS)
    await client.create(PODS, manifest("p"))
    with pytest.raises(UnavailableError):
        await client.create(JOBS, manifest("a"))
    await client.create(JOBS, manifest("a"))
    assert [(call.verb, call.kind, call.name) for call in client.calls] == [
        ("create", "Pod", "p"),
        ("create", "Job", "a"),
        ("create", "Job", "a"),
    ]


async def test_a_fault_after_the_write_loses_the_answer_only(client: MemoryClient) -> None:
    client.fail_next("create", UnavailableError(0, "Timeout", "lost"), after=True)
    with pytest.raises(UnavailableError):
        await client.create(JOBS, manifest("a"))
    assert client.item(JOBS, "a")


async def test_admit_defaults_and_refuses() -> None:
    def admit(kind: ResourceKind, new: Manifest, old: Manifest | None) -> Manifest:
        if new["spec"].get("bad"):
            raise InvalidError(422, "Invalid", "spec.bad: not allowed")
        return {**new, "spec": {"defaulted": True, **new["spec"]}}

    client = MemoryClient(admit=admit)
    assert (await client.create(TRAINING_JOBS, manifest("a", spec={})))["spec"] == {"defaulted": True}
    with pytest.raises(InvalidError):
        await client.patch(TRAINING_JOBS, "a", "default", {"spec": {"bad": True}})


async def test_seed_and_set_status_write_as_another_controller(client: MemoryClient) -> None:
    client.seed(PODS, manifest("p", status={"phase": "Pending"}))
    client.set_status(PODS, "p", {"phase": "Running"})
    pod = await client.get(PODS, "p", "default")
    assert pod["status"] == {"phase": "Running"}
    client.seed(PODS, manifest("p", status={"phase": "Failed"}))
    seeded = await client.get(PODS, "p", "default")
    assert seeded["status"] == {"phase": "Failed"}
    assert seeded["metadata"]["uid"] == pod["metadata"]["uid"]
