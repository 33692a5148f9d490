"""The local store answers as an API server would."""

import asyncio
import json
import stat
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fettle_client.protocol import (
    ADAPTERS,
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    PODS,
    SECRETS,
    TRAINING_JOBS,
    AlreadyExistsError,
    ConflictError,
    GoneError,
    InvalidError,
    NotFoundError,
    ResourceKind,
    WatchEvent,
)
from fettle_local.store import LocalClient


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[LocalClient]:
    client = LocalClient(tmp_path / "store.db", history=64)
    yield client
    await client.close()


def training_job(name: str = "demo", **spec: Any) -> dict[str, Any]:
    content = {
        "baseModel": {"path": "models/tiny"},
        "dataset": {"source": {"workspace": {"path": "datasets/tiny"}}},
        **spec,
    }
    return {"apiVersion": "fettle.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": name}, "spec": content}


def config_map(name: str, owners: list[dict[str, Any]] | None = None, **metadata: Any) -> dict[str, Any]:
    references = [
        {"apiVersion": o["apiVersion"], "kind": o["kind"], "name": o["metadata"]["name"], "uid": o["metadata"]["uid"]}
        for o in owners or []
    ]
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, **metadata, **({"ownerReferences": references} if references else {})},
        "data": {"key": "value"},
    }


async def take(events: AsyncIterator[WatchEvent], count: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    async with asyncio.timeout(10):
        async for event in events:
            found.append((event.type, event.manifest["metadata"]["name"]))
            if len(found) == count:
                break
    return found


async def test_create_fills_defaults_and_metadata_and_ignores_status(client: LocalClient) -> None:
    job = await client.create(TRAINING_JOBS, {**training_job(), "status": {"phase": "Succeeded"}})
    assert job["spec"]["hyperparameters"]["batchSize"] == 4
    assert job["metadata"]["generation"] == 1
    assert job["metadata"]["namespace"] == "default"
    assert job["metadata"]["uid"]
    assert job["metadata"]["creationTimestamp"].endswith("Z")
    assert "status" not in job
    assert await client.get(TRAINING_JOBS, "demo", "default") == job


async def test_the_file_is_private(client: LocalClient, tmp_path: Path) -> None:
    await client.create(CONFIG_MAPS, config_map("one"))
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}  # noqa: ASYNC240
    assert set(modes.values()) == {0o600}, modes


async def test_create_twice_is_refused(client: LocalClient) -> None:
    await client.create(TRAINING_JOBS, training_job())
    with pytest.raises(AlreadyExistsError, match="demo"):
        await client.create(TRAINING_JOBS, training_job())


async def test_dry_run_stores_nothing(client: LocalClient) -> None:
    await client.create(TRAINING_JOBS, training_job(), dry_run=True)
    with pytest.raises(NotFoundError):
        await client.get(TRAINING_JOBS, "demo", "default")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"adapter": {"rank": 0}}, "spec.adapter.rank"),
        ({"adapter": {"ranks": 4}}, "spec.adapter.ranks"),
        ({"method": "guess"}, "spec.method"),
    ],
)
async def test_a_bad_manifest_is_refused_by_field(client: LocalClient, change: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.create(TRAINING_JOBS, training_job(**change))
    assert [cause["field"] for cause in refused.value.details["causes"]] == [field]


async def test_an_immutable_field_is_refused_on_update(client: LocalClient) -> None:
    job = await client.create(TRAINING_JOBS, training_job())
    job["spec"]["hyperparameters"]["epochs"] = 7
    with pytest.raises(InvalidError) as refused:
        await client.replace(TRAINING_JOBS, job)
    assert "spec.hyperparameters" in refused.value.details["causes"][0]["field"]


async def test_unknown_kinds_are_refused_by_name(client: LocalClient) -> None:
    with pytest.raises(InvalidError, match="Deployment"):
        await client.list(ResourceKind("apps/v1", "Deployment", "deployments"), None)
    with pytest.raises(InvalidError, match="apiVersion"):
        await client.create(TRAINING_JOBS, config_map("other"))


@pytest.mark.parametrize(
    ("manifest", "field"),
    [
        (config_map("../up"), "metadata.name"),
        (config_map("one", namespace="a/b"), "metadata.namespace"),
        (config_map(""), "metadata.name"),
        ({**config_map("one"), "data": {"../run.json": "x"}}, "data[../run.json]"),
        ({"apiVersion": "v1", "kind": "ConfigMap"}, "metadata.name"),
    ],
)
async def test_names_are_safe_as_names_of_files(client: LocalClient, manifest: dict[str, Any], field: str) -> None:
    with pytest.raises(InvalidError) as refused:
        await client.create(CONFIG_MAPS, manifest)
    assert [cause["field"] for cause in refused.value.details["causes"]] == [field]


async def test_replace_needs_the_version_that_was_read(client: LocalClient) -> None:
    job = await client.create(TRAINING_JOBS, training_job())
    first = await client.replace(TRAINING_JOBS, {**job, "spec": {**job["spec"], "suspend": True}})
    assert first["metadata"]["generation"] == 2
    with pytest.raises(ConflictError):
        await client.replace(TRAINING_JOBS, job)


async def test_a_write_that_changes_nothing_makes_no_version(client: LocalClient) -> None:
    job = await client.create(TRAINING_JOBS, training_job())
    assert (await client.replace(TRAINING_JOBS, job))["metadata"] == job["metadata"]


async def test_patch_changes_spec_but_never_status(client: LocalClient) -> None:
    job = await client.create(TRAINING_JOBS, training_job())
    patched = await client.patch(
        TRAINING_JOBS, "demo", "default", {"spec": {"cancel": True}, "status": {"phase": "Failed"}}
    )
    assert patched["spec"]["cancel"] is True
    assert "status" not in patched
    with pytest.raises(ConflictError):
        await client.patch(TRAINING_JOBS, "demo", "default", {"spec": {}}, job["metadata"]["resourceVersion"])


async def test_two_managers_share_status(client: LocalClient) -> None:
    job = await client.create(TRAINING_JOBS, training_job())

    async def write(manager: str, status: dict[str, Any]) -> dict[str, Any]:
        written = await client.apply_status(TRAINING_JOBS, "demo", "default", status, manager)
        result: dict[str, Any] = written["status"]
        return result

    await write("fettle-operator", {"phase": "Running", "message": "on its way"})
    await write("fettle-receiver", {"progress": {"step": 3, "loss": 1.5}})
    status = await write("fettle-operator", {"phase": "Running"})
    assert status == {"phase": "Running", "progress": {"step": 3, "loss": 1.5}}
    status = await write("fettle-receiver", {"progress": {"step": 4}})
    assert status == {"phase": "Running", "progress": {"step": 4}}
    after = await client.get(TRAINING_JOBS, "demo", "default")
    assert after["metadata"]["generation"] == job["metadata"]["generation"]
    assert after["metadata"]["resourceVersion"] != job["metadata"]["resourceVersion"]


async def test_status_is_conditional_and_checked(client: LocalClient) -> None:
    job = await client.create(TRAINING_JOBS, training_job())
    await client.apply_status(TRAINING_JOBS, "demo", "default", {"phase": "Queued"}, "fettle-operator")
    with pytest.raises(ConflictError):
        await client.apply_status(
            TRAINING_JOBS, "demo", "default", {}, "m", resource_version=job["metadata"]["resourceVersion"]
        )
    with pytest.raises(ConflictError):
        await client.apply_status(TRAINING_JOBS, "demo", "default", {}, "m", uid="another")
    with pytest.raises(InvalidError, match=r"status\.phase"):
        await client.apply_status(TRAINING_JOBS, "demo", "default", {"phase": "Asleep"}, "m")


async def test_apply_creates_then_merges_then_removes_what_is_no_longer_named(client: LocalClient) -> None:
    manifest = training_job(limits={"maxRetries": 7})
    manifest["metadata"]["labels"] = {"team": "a", "tier": "b"}
    first = await client.apply(TRAINING_JOBS, manifest, "fettle")
    assert (await client.apply(TRAINING_JOBS, manifest, "fettle"))["metadata"] == first["metadata"]
    await client.patch(TRAINING_JOBS, "demo", "default", {"metadata": {"labels": {"mine": "yes"}}})
    without = training_job()
    without["metadata"]["labels"] = {"team": "a"}
    second = await client.apply(TRAINING_JOBS, without, "fettle")
    assert second["spec"]["limits"]["maxRetries"] == 3
    assert second["metadata"]["labels"] == {"team": "a", "mine": "yes"}


async def test_apply_without_force_names_the_other_manager(client: LocalClient) -> None:
    await client.apply(TRAINING_JOBS, training_job(suspend=True), "someone")
    with pytest.raises(ConflictError, match=r"spec\.suspend.*someone"):
        await client.apply(TRAINING_JOBS, training_job(suspend=False), "fettle", force=False)
    assert (await client.apply(TRAINING_JOBS, training_job(suspend=False), "fettle"))["spec"]["suspend"] is False


async def test_children_follow_their_owner_in_the_background(client: LocalClient) -> None:
    owner = await client.create(CONFIG_MAPS, config_map("owner"))
    other = await client.create(CONFIG_MAPS, config_map("other"))
    child = await client.create(CONFIG_MAPS, config_map("child", [owner]))
    await client.create(CONFIG_MAPS, config_map("grandchild", [child]))
    await client.create(CONFIG_MAPS, config_map("shared", [owner, other]))
    await client.delete(CONFIG_MAPS, "owner", "default")
    left = {item["metadata"]["name"] for item in (await client.list(CONFIG_MAPS, None)).items}
    assert left == {"other", "shared"}


async def test_a_child_of_a_deleted_owner_does_not_stay(client: LocalClient) -> None:
    owner = await client.create(CONFIG_MAPS, config_map("owner"))
    await client.delete(CONFIG_MAPS, "owner", "default")
    await client.create(CONFIG_MAPS, config_map("late", [owner]))
    assert (await client.list(CONFIG_MAPS, None)).items == []


async def test_foreground_deletion_waits_for_children_with_finalizers(client: LocalClient) -> None:
    owner = await client.create(CONFIG_MAPS, config_map("owner"))
    await client.create(CONFIG_MAPS, config_map("child", [owner], finalizers=["example.org/hold"]))
    await client.delete(CONFIG_MAPS, "owner", "default", propagation="Foreground")
    marked = await client.get(CONFIG_MAPS, "owner", "default")
    assert marked["metadata"]["deletionTimestamp"]
    assert (await client.get(CONFIG_MAPS, "child", "default"))["metadata"]["deletionTimestamp"]
    await client.patch(CONFIG_MAPS, "child", "default", {"metadata": {"finalizers": None}})
    assert (await client.list(CONFIG_MAPS, None)).items == []


async def test_delete_is_idempotent_and_respects_the_uid(client: LocalClient) -> None:
    await client.create(CONFIG_MAPS, config_map("one"))
    await client.delete(CONFIG_MAPS, "one", "default", uid="another")
    assert await client.get(CONFIG_MAPS, "one", "default")
    await client.delete(CONFIG_MAPS, "one", "default")
    await client.delete(CONFIG_MAPS, "one", "default")


async def test_lists_are_filtered(client: LocalClient) -> None:
    for name, team in (("a", "x"), ("b", "y"), ("c", None)):
        labels = {"team": team} if team else {}
        manifest = training_job(name)
        manifest["metadata"]["labels"] = labels
        await client.create(TRAINING_JOBS, manifest)
    await client.apply_status(TRAINING_JOBS, "a", "default", {"phase": "Running"}, "fettle-operator")

    async def names(labels: str | None = None, fields: str | None = None) -> list[str]:
        return [item["metadata"]["name"] for item in (await client.list(TRAINING_JOBS, None, labels, fields)).items]

    assert await names("team") == ["a", "b"]
    assert await names("!team") == ["c"]
    assert await names("team=x") == ["a"]
    assert await names("team!=x") == ["b", "c"]
    assert await names("team in (x,y),team notin (y)") == ["a"]
    assert await names(fields="status.phase=Running") == ["a"]
    assert await names(fields="status.phase!=Running,metadata.name!=c") == ["b"]
    with pytest.raises(InvalidError, match=r"status\.loss"):
        await names(fields="status.loss=1")


async def test_watch_tells_what_happened_after_a_version(client: LocalClient) -> None:
    await client.create(CONFIG_MAPS, config_map("before"))
    version = (await client.list(CONFIG_MAPS, None)).resource_version
    await client.create(CONFIG_MAPS, config_map("one"))
    await client.create(SECRETS, {**config_map("secret"), "kind": "Secret"})
    await client.patch(CONFIG_MAPS, "one", "default", {"data": {"key": "other"}})
    await client.delete(CONFIG_MAPS, "before", "default")
    events = await take(client.watch(CONFIG_MAPS, None, version), 3)
    assert events == [("ADDED", "one"), ("MODIFIED", "one"), ("DELETED", "before")]


async def test_a_resource_that_stops_matching_is_deleted_for_the_watcher(client: LocalClient) -> None:
    version = (await client.list(CONFIG_MAPS, None)).resource_version
    await client.create(CONFIG_MAPS, config_map("one", labels={"a": "b"}))
    await client.patch(CONFIG_MAPS, "one", "default", {"metadata": {"labels": {"a": "c"}}})
    await client.patch(CONFIG_MAPS, "one", "default", {"metadata": {"labels": {"a": "b"}}})
    events = await take(client.watch(CONFIG_MAPS, None, version, "a=b"), 3)
    assert [kind for kind, _ in events] == ["ADDED", "DELETED", "ADDED"]


async def test_a_lost_history_is_gone(client: LocalClient) -> None:
    await client.create(CONFIG_MAPS, config_map("one"))
    for number in range(200):
        await client.patch(CONFIG_MAPS, "one", "default", {"data": {"key": str(number)}})
    with pytest.raises(GoneError):
        await take(client.watch(CONFIG_MAPS, None, "1"), 1)
    with pytest.raises(GoneError):
        await take(client.watch(CONFIG_MAPS, None, "999999"), 1)


async def test_text_of_a_secret_is_encoded(client: LocalClient) -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"HF_TOKEN": "abc"}}
    assert (await client.create(SECRETS, secret))["data"] == {"HF_TOKEN": "YWJj"}


async def test_events_get_generated_names_and_are_forgotten_after_an_hour(tmp_path: Path) -> None:
    times = iter([datetime(2026, 1, 1, 10, tzinfo=UTC)] * 2 + [datetime(2026, 1, 1, 12, tzinfo=UTC)] * 9)
    client = LocalClient(tmp_path / "store.db", now=lambda: next(times))
    event = {"apiVersion": "v1", "kind": "Event", "metadata": {"generateName": "demo."}, "message": "hello"}
    old = await client.create(EVENTS, event)
    new = await client.create(EVENTS, event)
    assert old["metadata"]["name"] != new["metadata"]["name"]
    names = [item["metadata"]["name"] for item in (await client.list(EVENTS, None)).items]
    assert names == [new["metadata"]["name"]]
    await client.close()


async def test_pods_and_jobs_keep_status_apart(client: LocalClient) -> None:
    for kind in (JOBS, PODS):
        manifest = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": "x"}, "spec": {}}
        await client.create(kind, {**manifest, "status": {"active": 1}})
        assert "status" not in await client.get(kind, "x", "default")
        await client.apply_status(kind, "x", "default", {"active": 1}, "kubelet")
        replaced = await client.replace(kind, manifest)
        assert replaced["status"] == {"active": 1}


async def test_an_adapter_is_admitted_too(client: LocalClient) -> None:
    adapter = {"apiVersion": "fettle.dev/v1alpha1", "kind": "Adapter", "metadata": {"name": "a"}, "spec": {}}
    with pytest.raises(InvalidError, match=r"spec\.baseModel"):
        await client.create(ADAPTERS, adapter)


_WRITER = """
import asyncio, pathlib, sys
from fettle_client.protocol import CONFIG_MAPS, ConflictError
from fettle_local.store import LocalClient

async def main(path, count):
    client = LocalClient(pathlib.Path(path))
    written = 0
    while written < count:
        manifest = await client.get(CONFIG_MAPS, "counter", "default")
        manifest["data"]["n"] = str(int(manifest["data"]["n"]) + 1)
        try:
            await client.replace(CONFIG_MAPS, manifest)
            written += 1
        except ConflictError:
            pass
    await client.close()

asyncio.run(main(sys.argv[1], int(sys.argv[2])))
"""


async def test_two_processes_write_at_once_and_a_third_watches(tmp_path: Path) -> None:
    path = tmp_path / "store.db"
    client = LocalClient(path)
    counter = {**config_map("counter"), "data": {"n": "0"}}
    version = (await client.create(CONFIG_MAPS, counter))["metadata"]["resourceVersion"]
    command = [sys.executable, "-c", _WRITER, str(path), "40"]
    writers = [await asyncio.create_subprocess_exec(*command) for _ in range(2)]
    seen: list[int] = []
    async with asyncio.timeout(60):
        async for event in client.watch(CONFIG_MAPS, None, version):
            seen.append(int(event.manifest["data"]["n"]))
            if seen[-1] == 80:
                break
    assert [await writer.wait() for writer in writers] == [0, 0]
    assert seen == list(range(1, 81)), json.dumps(seen)
    await client.close()
