import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fettle_api.adapters.registry import Adapters
from fettle_api.errors import AdapterNotFoundError, NotReadyError
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_client.protocol import ADAPTERS
from fettle_schema.errors import InvalidManifestError
from tests.support.memory_client import MemoryClient
from tests.support.polling import eventually


class World:
    """A store of resources and a workspace."""

    def __init__(self, root: Path) -> None:
        self.root, self.now = root, datetime(2026, 1, 1, tzinfo=UTC)
        self.client = MemoryClient(lambda: self.now)
        self.adapters = Adapters(self.client, "default", Workspace(root), WorkspaceWriter(root), 1.0)

    def add(self, name: str, status: Any = None, **spec: Any) -> None:
        metadata = {"name": name, "namespace": "default"}
        spec = {"baseModel": {"id": "a/b"}, "source": {"trainingJob": name}, **spec}
        self.client.seed(ADAPTERS, {"metadata": metadata, "spec": spec, "status": status or {}})

    def add_files(self, path: str) -> None:
        (self.root / path).mkdir(parents=True)
        (self.root / path / "adapter_config.json").write_text("{}")


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path)
    world.adapters.start()
    yield world
    await world.adapters.stop()


async def test_the_newest_is_listed_first(tmp_path: Path) -> None:
    world = World(tmp_path)
    for name in ("b", "a", "c"):
        world.add(name)
        world.now += timedelta(days=1)
    world.adapters.start()
    assert [adapter.name for adapter in await world.adapters.all()] == ["c", "a", "b"]
    await world.adapters.stop()


async def test_a_miss_is_confirmed_at_the_api_server(world: World) -> None:
    await world.adapters.all()
    world.add("new")
    assert (await world.adapters.get("new")).name == "new"
    with pytest.raises(AdapterNotFoundError):
        await world.adapters.get("nobody")


async def test_before_the_first_list_nothing_is_known(tmp_path: Path) -> None:
    world = World(tmp_path)
    with pytest.raises(NotReadyError):
        await world.adapters.all()


@pytest.mark.parametrize(
    ("spec", "status", "path"),
    [
        ({}, {"path": "adapters/x/1"}, "adapters/x/1"),
        ({"source": {"workspace": {"path": "uploads/x"}}}, {}, "uploads/x"),
        ({"digest": "sha256:" + "0123456789abcdef" * 4}, {}, "adapters/x/0123456789ab"),
        ({}, {}, None),
    ],
)
async def test_where_the_files_are(world: World, spec: Any, status: Any, path: str | None) -> None:
    world.add("x", status=status, **spec)
    adapter = await world.adapters.get("x")
    assert adapter.path == path
    if path is None:
        with pytest.raises(AdapterNotFoundError):
            await world.adapters.get_ready("x")
        assert not await world.adapters.has_files(adapter)
    else:
        assert (await world.adapters.get_ready("x")).path == path
        assert await world.adapters.find_by_path(path) == adapter


async def test_an_adapter_of_files_that_are_there_is_made_once(world: World) -> None:
    world.add_files("uploads/mine")
    made = await asyncio.gather(*(world.adapters.starting_point("uploads/mine", "a/b") for _ in range(3)))
    assert len({adapter.uid for adapter in made}) == 1
    assert [adapter.name for adapter in await world.adapters.all()] == [made[0].name]
    assert (made[0].spec.base_model.id, made[0].path) == ("a/b", "uploads/mine")
    assert await world.adapters.starting_point("./uploads/mine/", "a/b") == await world.adapters.get(made[0].name)


async def test_an_adapter_by_its_name_and_by_its_directories(world: World) -> None:
    world.add("x", status={"path": "adapters/x/1"})
    for text in ("x", "adapters/x", "./adapters/x/", "adapters/x/1"):
        assert (await world.adapters.starting_point(text, "a/b")).name == "x", text


async def test_a_starting_point_on_the_hub(world: World) -> None:
    made = await world.adapters.starting_point("acme/adapter", "a/b")
    assert made.spec.source.hugging_face is not None
    assert made.spec.source.hugging_face.id == "acme/adapter"


@pytest.mark.parametrize(
    "text",
    ["nobody", "", "/etc", "a/b/c", "../x/y", "uploads/mine", "adapters/nobody", "uploads/mine\0", "x" * 500 + "/y z"],
)
async def test_what_is_no_starting_point(world: World, text: str) -> None:
    with pytest.raises((AdapterNotFoundError, InvalidManifestError)):
        await world.adapters.starting_point(text, "a/b")
    assert world.client.items(ADAPTERS) == []


async def test_loading_is_asked_for_once(world: World) -> None:
    world.add("x")
    assert (await world.adapters.ask_for_loading("x", True)).spec.serving.load
    assert (await world.adapters.ask_for_loading("x", True)).spec.serving.load
    assert [call.verb for call in world.client.calls].count("patch") == 1
    assert not (await world.adapters.ask_for_loading("x", False)).spec.serving.load
    with pytest.raises(AdapterNotFoundError):
        await world.adapters.ask_for_loading("nobody", True)


async def test_what_is_deleted_is_gone_with_all_its_versions(world: World) -> None:
    for path in ("adapters/x/1", "adapters/x/2", "adapters/xy/1"):
        world.add_files(path)
    world.add("x", status={"path": "adapters/x/2"})
    await world.adapters.delete("x")
    assert await world.adapters.all() == []
    assert [path.name for path in (world.root / "adapters").iterdir()] == ["xy"]


async def test_files_that_are_somebody_elses_stay(world: World) -> None:
    world.add_files("uploads/mine")
    world.add("x", source={"workspace": {"path": "uploads/mine"}})
    await world.adapters.delete("x")
    assert (world.root / "uploads/mine/adapter_config.json").exists()


async def test_a_watch_that_ends_is_seen(tmp_path: Path) -> None:
    world = World(tmp_path)
    assert world.adapters.is_alive
    world.client.fail_next("list", RuntimeError("a bug"), ADAPTERS)
    world.adapters.start()
    async with asyncio.timeout(5):
        while world.adapters.is_alive:  # noqa: ASYNC110 - nothing to wait on
            await asyncio.sleep(0.01)
    await world.adapters.stop()


@pytest.mark.parametrize(("policy", "stays"), [("Delete", False), ("Retain", True)])
async def test_whoever_deletes_an_adapter_its_policy_decides_about_the_files(
    world: World, policy: str, stays: bool
) -> None:
    for name, own_policy in (("x", policy), ("marker", "Delete")):
        world.add_files(f"adapters/{name}/0123456789ab")
        world.add(name, {"path": f"adapters/{name}/0123456789ab"}, deletionPolicy=own_policy)

    async def are_seen() -> bool:
        return len(await world.adapters.all()) == 2

    async def is_removed() -> bool:
        return not (world.root / "adapters/marker").exists()

    await eventually(are_seen, "both are seen", 5, 0.01)
    await world.client.delete(ADAPTERS, "x", "default")
    await world.client.delete(ADAPTERS, "marker", "default")
    await eventually(is_removed, "the files of the later deletion are removed", 5, 0.01)

    async def is_decided() -> bool:
        return (world.root / "adapters/x").exists() == stays

    await eventually(is_decided, "the policy is kept", 5, 0.01)
