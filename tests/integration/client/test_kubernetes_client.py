"""The client against a real API server. What only a broken server does is in the unit tests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from fettle_client.connection import NoClusterError, Timeouts
from fettle_client.kubernetes import KubernetesClient, connect
from fettle_client.protocol import (
    CONFIG_MAPS,
    TRAINING_JOBS,
    AlreadyExistsError,
    ApiError,
    ConflictError,
    GoneError,
    InvalidError,
    Manifest,
    NotFoundError,
    ResourceClient,
    ResourceKind,
    WatchEvent,
)
from fettle_client.retry import RetryPolicy
from tests.support.polling import eventually
from tests.support.tcp_proxy import TcpProxy

ACCESS_REVIEWS = ResourceKind("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", False)
TOKEN_REVIEWS = ResourceKind("authentication.k8s.io/v1", "TokenReview", "tokenreviews", False)
OTHER_UID = "00000000-0000-0000-0000-000000000000"
JOB_SPEC = {"method": "sft", "baseModel": {"id": "a/b"}, "dataset": {"source": {"workspace": {"path": "datasets/x"}}}}


def config_map(name: str, namespace: str, data: dict[str, str] | None = None, **metadata: Any) -> Manifest:
    return {"metadata": {"name": name, "namespace": namespace, **metadata}, "data": data or {}}


def names(items: list[Manifest]) -> list[str]:
    return sorted(item["metadata"]["name"] for item in items)


async def next_event(events: AsyncIterator[WatchEvent]) -> tuple[str, str]:
    async with asyncio.timeout(60):
        event = await anext(events)
    return event.type, event.manifest["metadata"]["name"]


def owner_reference(owner: Manifest) -> Manifest:
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "blockOwnerDeletion": True}
    return {**reference, "name": owner["metadata"]["name"], "uid": owner["metadata"]["uid"]}


def server_address(kubeconfig: Path) -> tuple[str, int]:
    server = urlsplit(yaml.safe_load(kubeconfig.read_text())["clusters"][0]["cluster"]["server"])
    return server.hostname or "", server.port or 443


def redirected(kubeconfig: Path, port: int, folder: Path) -> Path:
    content = yaml.safe_load(kubeconfig.read_text())
    cluster = content["clusters"][0]["cluster"]
    cluster |= {"server": f"https://127.0.0.1:{port}", "tls-server-name": server_address(kubeconfig)[0]}
    path = folder / "kubeconfig"
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture
async def job(client: KubernetesClient, namespace: str) -> Manifest:
    return await client.create(TRAINING_JOBS, {"metadata": {"name": "job", "namespace": namespace}, "spec": JOB_SPEC})


async def test_it_is_a_resource_client(client: KubernetesClient) -> None:
    port: ResourceClient = client
    assert port is client


async def test_create_get_replace_patch_and_delete(client: KubernetesClient, namespace: str) -> None:
    created = await client.create(CONFIG_MAPS, config_map("a", namespace, {"k": "1"}))
    assert (created["apiVersion"], created["kind"]) == ("v1", "ConfigMap")
    assert "managedFields" not in created["metadata"]
    replaced = await client.replace(CONFIG_MAPS, {**created, "data": {"k": "2"}})
    patched = await client.patch(CONFIG_MAPS, "a", namespace, {"data": {"k": None, "l": "3"}})
    assert replaced["data"] == {"k": "2"}
    assert patched["data"] == {"l": "3"}
    assert await client.get(CONFIG_MAPS, "a", namespace) == patched
    await client.delete(CONFIG_MAPS, "a", namespace)
    with pytest.raises(NotFoundError, match='configmaps "a" not found'):
        await client.get(CONFIG_MAPS, "a", namespace)
    await client.delete(CONFIG_MAPS, "a", namespace)


async def test_create_refuses_a_name_that_is_taken(client: KubernetesClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a", namespace))
    with pytest.raises(AlreadyExistsError):
        await client.create(CONFIG_MAPS, config_map("a", namespace))


async def test_dry_run_stores_nothing(client: KubernetesClient, namespace: str) -> None:
    await client.create(CONFIG_MAPS, config_map("a", namespace), dry_run=True)
    with pytest.raises(NotFoundError):
        await client.get(CONFIG_MAPS, "a", namespace)


async def test_a_write_to_an_old_version_is_a_conflict(client: KubernetesClient, namespace: str) -> None:
    created = await client.create(CONFIG_MAPS, config_map("a", namespace))
    await client.patch(CONFIG_MAPS, "a", namespace, {"data": {"k": "1"}})
    with pytest.raises(ConflictError):
        await client.replace(CONFIG_MAPS, {**created, "data": {"k": "2"}})
    with pytest.raises(ConflictError):
        await client.patch(CONFIG_MAPS, "a", namespace, {"data": {"k": "2"}}, created["metadata"]["resourceVersion"])


async def test_a_field_that_does_not_exist_is_named(client: KubernetesClient, namespace: str) -> None:
    manifest = {"metadata": {"name": "j", "namespace": namespace}, "spec": {**JOB_SPEC, "adaptor": {}}}
    with pytest.raises(InvalidError, match=r"spec\.adaptor") as caught:
        await client.create(TRAINING_JOBS, manifest)
    assert [cause["field"] for cause in caught.value.details["causes"]] == ["spec.adaptor"]


async def test_a_value_that_is_not_allowed_is_named(client: KubernetesClient, namespace: str) -> None:
    manifest = {"metadata": {"name": "j", "namespace": namespace}, "spec": {**JOB_SPEC, "method": "magic"}}
    with pytest.raises(InvalidError) as caught:
        await client.create(TRAINING_JOBS, manifest)
    assert "spec.method" in [cause["field"] for cause in caught.value.details["causes"]]


async def test_a_kind_that_nobody_serves_is_not_found(client: KubernetesClient, namespace: str) -> None:
    unknown = ResourceKind("example.dev/v1", "Nothing", "nothings")
    with pytest.raises(NotFoundError, match="CustomResourceDefinition"):
        await client.get(unknown, "a", namespace)


@pytest.mark.parametrize("name", ["", ".", "..", "a/status"])
async def test_a_name_cannot_reach_another_path(client: KubernetesClient, namespace: str, name: str) -> None:
    with pytest.raises(InvalidError, match="no name of a resource"):
        await client.get(CONFIG_MAPS, name, namespace)


async def test_apply_removes_only_what_the_manager_no_longer_names(client: KubernetesClient, namespace: str) -> None:
    await client.apply(CONFIG_MAPS, config_map("a", namespace, {"k": "1", "l": "1"}), "one")
    await client.apply(CONFIG_MAPS, config_map("a", namespace, {"m": "2"}), "two")
    applied = await client.apply(CONFIG_MAPS, config_map("a", namespace, {"k": "1"}), "one")
    assert applied["data"] == {"k": "1", "m": "2"}


async def test_apply_without_force_is_a_conflict_over_a_foreign_field(client: KubernetesClient, namespace: str) -> None:
    await client.apply(CONFIG_MAPS, config_map("a", namespace, {"k": "1"}), "one")
    with pytest.raises(ConflictError, match=r"\.data\.k"):
        await client.apply(CONFIG_MAPS, config_map("a", namespace, {"k": "2"}), "two", force=False)
    forced = await client.apply(CONFIG_MAPS, config_map("a", namespace, {"k": "2"}), "two")
    assert forced["data"] == {"k": "2"}


async def test_two_managers_share_a_status(client: KubernetesClient, namespace: str, job: Manifest) -> None:
    def condition(name: str) -> Manifest:
        return {"type": name, "status": "True", "reason": "R", "lastTransitionTime": "2025-01-01T00:00:00Z"}

    for status, manager in [
        ({"phase": "Running", "message": "soon gone", "conditions": [condition("Running")]}, "fettle-operator"),
        ({"progress": {"step": 1, "loss": 2.5}}, "fettle-receiver"),
        ({"phase": "Succeeded", "conditions": [condition("Complete")]}, "fettle-operator"),
        ({"progress": {"step": 2}}, "fettle-receiver"),
    ]:
        applied = await client.apply_status(TRAINING_JOBS, "job", namespace, status, manager)
    status = applied["status"]
    assert [found["type"] for found in status["conditions"]] == ["Complete"]
    assert (status["phase"], status["progress"]) == ("Succeeded", {"step": 2})
    assert "message" not in status
    assert applied["metadata"]["generation"] == job["metadata"]["generation"]
    assert applied["spec"] == job["spec"]


async def test_apply_status_depends_on_version_and_uid(client: KubernetesClient, namespace: str, job: Manifest) -> None:
    version, uid = job["metadata"]["resourceVersion"], job["metadata"]["uid"]
    await client.apply_status(TRAINING_JOBS, "job", namespace, {"phase": "Queued"}, "m", version, uid)
    with pytest.raises(ConflictError):
        await client.apply_status(TRAINING_JOBS, "job", namespace, {"phase": "Failed"}, "m", version)
    with pytest.raises(ConflictError, match=uid):
        await client.apply_status(TRAINING_JOBS, "job", namespace, {"phase": "Failed"}, "m", uid=OTHER_UID)
    with pytest.raises(NotFoundError):
        await client.apply_status(TRAINING_JOBS, "absent", namespace, {"phase": "Failed"}, "m")
    with pytest.raises(ApiError):  # and no resource comes into being
        await client.apply_status(TRAINING_JOBS, "absent", namespace, {"phase": "Failed"}, "m", version, uid)
    assert (await client.get(TRAINING_JOBS, "job", namespace))["status"]["phase"] == "Queued"


async def test_apply_status_by_uid_outlasts_other_writers(
    client: KubernetesClient, namespace: str, job: Manifest
) -> None:
    uid = job["metadata"]["uid"]
    await asyncio.gather(
        *(client.apply_status(TRAINING_JOBS, "job", namespace, {"message": "m"}, f"m{n}") for n in range(10)),
        *(client.apply_status(TRAINING_JOBS, "job", namespace, {"phase": "Queued"}, "p", uid=uid) for _ in range(3)),
    )
    assert (await client.get(TRAINING_JOBS, "job", namespace))["status"]["phase"] == "Queued"


async def test_patch_leaves_the_status_alone(client: KubernetesClient, namespace: str, job: Manifest) -> None:
    await client.apply_status(TRAINING_JOBS, "job", namespace, {"phase": "Queued"}, "m")
    patch = {"metadata": {"labels": {"l": "1"}}, "status": {"phase": "Failed"}}
    patched = await client.patch(TRAINING_JOBS, "job", namespace, patch)
    assert patched["status"]["phase"] == "Queued"
    assert patched["metadata"]["labels"] == {"l": "1"}


async def test_list_selects_by_label_and_field(client: KubernetesClient, namespace: str, job: Manifest) -> None:
    for name, labels in [("a", {"app": "x"}), ("b", {"app": "y", "tier": "db"}), ("c", {})]:
        await client.create(CONFIG_MAPS, config_map(name, namespace, labels=labels))
    chosen = await client.list(CONFIG_MAPS, namespace, "app in (x,y),tier!=db")
    assert names(chosen.items) == ["a"]
    assert {(item["apiVersion"], item["kind"]) for item in chosen.items} == {("v1", "ConfigMap")}
    assert names((await client.list(CONFIG_MAPS, namespace, field_selector="metadata.name=b")).items) == ["b"]
    await client.apply_status(TRAINING_JOBS, "job", namespace, {"phase": "Failed"}, "m")
    assert names((await client.list(TRAINING_JOBS, namespace, field_selector="status.phase=Failed")).items) == ["job"]
    assert not (await client.list(TRAINING_JOBS, namespace, field_selector="status.phase!=Failed")).items
    assert names((await client.list(TRAINING_JOBS, None, field_selector="status.phase=Failed")).items).count("job") >= 1


async def test_a_long_list_comes_in_pages(client: KubernetesClient, namespace: str) -> None:
    gate = asyncio.Semaphore(20)

    async def create(number: int) -> None:
        async with gate:
            await client.create(CONFIG_MAPS, config_map(f"c{number:04}", namespace, labels={"page": "yes"}))

    await asyncio.gather(*(create(number) for number in range(1200)))
    listed = await client.list(CONFIG_MAPS, namespace, "page=yes")
    assert names(listed.items) == [f"c{number:04}" for number in range(1200)]
    assert int(listed.resource_version) > 0


async def test_watch_tells_the_past_and_what_comes(client: KubernetesClient, namespace: str) -> None:
    start = (await client.list(CONFIG_MAPS, namespace)).resource_version
    await client.create(CONFIG_MAPS, config_map("a", namespace, labels={"app": "x"}))
    async with aclosing(client.watch(CONFIG_MAPS, namespace, start, "app=x")) as events:
        assert await next_event(events) == ("ADDED", "a")
        await client.create(CONFIG_MAPS, config_map("unrelated", namespace))
        await client.patch(CONFIG_MAPS, "a", namespace, {"data": {"k": "1"}})
        assert await next_event(events) == ("MODIFIED", "a")
        await client.delete(CONFIG_MAPS, "a", namespace)
        assert await next_event(events) == ("DELETED", "a")


async def test_what_is_there_is_told_and_then_what_happens(client: KubernetesClient, namespace: str) -> None:
    # Of a kind that no controller writes: each new namespace gets a ConfigMap at some moment of its own.
    def job(name: str) -> Manifest:
        return {"metadata": {"name": name, "namespace": namespace}, "spec": JOB_SPEC}

    created = await client.create(TRAINING_JOBS, job("a"))
    async with aclosing(client.observe(TRAINING_JOBS, namespace)) as told, asyncio.timeout(20):
        there = list[Manifest]()
        while isinstance(event := await anext(told), WatchEvent):
            there.append(event.manifest)
        assert there == [created]
        await client.delete(TRAINING_JOBS, "a", namespace)
        await client.create(TRAINING_JOBS, job("b"))
        seen = [await anext(told) for _ in range(2)]
    assert [(one.type, one.manifest["metadata"]["name"]) for one in seen if isinstance(one, WatchEvent)] == [
        ("DELETED", "a"),
        ("ADDED", "b"),
    ]


async def test_watch_from_a_version_too_old_is_gone(client: KubernetesClient, namespace: str) -> None:
    with pytest.raises(GoneError):
        await next_event(client.watch(TRAINING_JOBS, namespace, "1"))


async def test_watch_goes_on_after_its_connection_was_killed(
    client: KubernetesClient, namespace: str, cluster: Path, tmp_path: Path
) -> None:
    proxy = TcpProxy(*server_address(cluster))
    async with proxy.serve():
        kubeconfig = redirected(cluster, proxy.port, tmp_path)
        proxied = await connect(str(kubeconfig), retry=RetryPolicy(first_delay_seconds=0.05))
        start = (await client.list(CONFIG_MAPS, namespace)).resource_version
        async with aclosing(proxied.watch(CONFIG_MAPS, namespace, start, "app=x")) as events:
            for name in ("a", "b", "c"):
                await client.create(CONFIG_MAPS, config_map(name, namespace, labels={"app": "x"}))
                assert await next_event(events) == ("ADDED", name)
                proxy.kill_connections()
        await proxied.close()
        assert proxy.connections >= 3


async def test_watch_goes_on_when_the_server_ends_it(namespace: str, cluster: Path) -> None:
    client = await connect(str(cluster), timeouts=Timeouts(watch_seconds=1))
    start = (await client.list(CONFIG_MAPS, namespace)).resource_version
    async with aclosing(client.watch(CONFIG_MAPS, namespace, start, "app=x")) as events:
        for name in ("a", "b"):
            coming = asyncio.create_task(next_event(events))
            done, _ = await asyncio.wait([coming], timeout=2)  # longer than the server keeps a watch open
            assert not done
            await client.create(CONFIG_MAPS, config_map(name, namespace, labels={"app": "x"}))
            assert await coming == ("ADDED", name)
    await client.close()


async def test_delete_spares_a_resource_with_another_uid(client: KubernetesClient, namespace: str) -> None:
    created = await client.create(CONFIG_MAPS, config_map("a", namespace))
    await client.delete(CONFIG_MAPS, "a", namespace, uid=OTHER_UID)
    assert await client.get(CONFIG_MAPS, "a", namespace) == created
    await client.delete(CONFIG_MAPS, "a", namespace, uid=created["metadata"]["uid"])
    with pytest.raises(NotFoundError):
        await client.get(CONFIG_MAPS, "a", namespace)


async def test_foreground_deletion_waits_for_the_children(client: KubernetesClient, namespace: str) -> None:
    owner = await client.create(CONFIG_MAPS, config_map("owner", namespace))
    references = {"ownerReferences": [owner_reference(owner)], "finalizers": ["fettle.dev/test"]}
    await client.create(CONFIG_MAPS, config_map("child", namespace, **references))
    await client.delete(CONFIG_MAPS, "owner", namespace, propagation="Foreground")

    async def child_is_deleted() -> bool:
        child = await client.get(CONFIG_MAPS, "child", namespace)
        return "deletionTimestamp" in child["metadata"]

    async def both_are_gone() -> bool:
        left = names((await client.list(CONFIG_MAPS, namespace)).items)
        return not {"owner", "child"} & set(left)

    await eventually(child_is_deleted, "the child is being deleted")
    assert (await client.get(CONFIG_MAPS, "owner", namespace))["metadata"]["finalizers"] == ["foregroundDeletion"]
    await client.patch(CONFIG_MAPS, "child", namespace, {"metadata": {"finalizers": None}})
    await eventually(both_are_gone, "owner and child are gone")


async def test_reviews_are_created_and_answered(client: KubernetesClient, namespace: str) -> None:
    attributes = {"namespace": namespace, "verb": "get", "group": "fettle.dev", "resource": "trainingjobs"}
    spec = {"user": "nobody-special", "resourceAttributes": attributes}
    access = await client.create(ACCESS_REVIEWS, {"metadata": {}, "spec": spec})
    assert access["status"]["allowed"] is False
    token = await client.create(TOKEN_REVIEWS, {"metadata": {}, "spec": {"token": "no-token-of-this-cluster"}})
    assert not token["status"].get("authenticated")


async def test_the_log_of_a_pod_that_is_not_there_is_not_found(client: KubernetesClient, namespace: str) -> None:
    with pytest.raises(NotFoundError):
        await anext(client.read_log("absent", namespace, "trainer", tail_lines=10))


async def test_connect_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NoClusterError, match="KUBECONFIG"):
        await connect(str(tmp_path / "absent"))
