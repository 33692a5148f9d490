import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fettle_api.adapters.current import CONFIG_MAP, CurrentAdapter
from fettle_api.adapters.engine import ServingEngine
from fettle_api.adapters.registry import Adapters
from fettle_api.adapters.serving import Serving
from fettle_api.adapters.views import AdapterView
from fettle_api.errors import (
    AdapterNotFoundError,
    EngineRefusedError,
    EngineUnavailableError,
    NoEngineError,
    NothingLoadedError,
)
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_client.protocol import ADAPTERS, CONFIG_MAPS, UnavailableError
from tests.support.engine_stand_in import KEY, EngineStandIn, engine_stand_in
from tests.support.memory_client import MemoryClient
from tests.support.polling import eventually

CHAT = {"messages": [{"role": "user", "content": "hi"}]}


class World:
    """Adapters of a namespace, a workspace, and maybe an engine that sees it at /ws."""

    def __init__(self, root: Path, engine: EngineStandIn | None) -> None:
        self.root, self.engine, self.client = root, engine, MemoryClient()
        self.adapters = Adapters(self.client, "default", Workspace(root), WorkspaceWriter(root))
        port = ServingEngine(engine.url, KEY) if engine else None
        self.serving = Serving(self.adapters, CurrentAdapter(self.client, "default"), port, Path("/ws"))

    def add(self, name: str, version: str = "1", **status: Any) -> None:
        path = f"adapters/{name}/{version}"
        (self.root / path).mkdir(parents=True, exist_ok=True)
        (self.root / path / "adapter_config.json").write_text("{}")
        spec = {"baseModel": {"id": "a/b"}, "source": {"trainingJob": name}, "servedName": name}
        old = self.client.item(ADAPTERS, name)
        spec = {**(old or {}).get("spec", {}), **spec}
        metadata = {"name": name, "namespace": "default"}
        self.client.seed(ADAPTERS, {"metadata": metadata, "spec": spec, "status": {"path": path, **status}})

    async def seen(self, condition: Callable[[list[AdapterView]], bool]) -> None:
        """Until the watch has told."""

        async def is_seen() -> bool:
            return condition(await self.adapters.all())

        await eventually(is_seen, "the change", 5, 0.01)

    def wants(self, name: str) -> bool:
        adapter = self.client.item(ADAPTERS, name)
        assert adapter is not None
        return bool(adapter["spec"].get("serving", {}).get("load", False))


@asynccontextmanager
async def world_of(root: Path, engine: EngineStandIn | None) -> AsyncIterator[World]:
    world = World(root, engine)
    world.adapters.start()
    yield world
    await world.adapters.stop()


@pytest.fixture
async def engine() -> AsyncIterator[EngineStandIn]:
    async with engine_stand_in() as running:
        yield running


@pytest.fixture
async def world(tmp_path: Path, engine: EngineStandIn) -> AsyncIterator[World]:
    async with world_of(tmp_path, engine) as made:
        yield made


async def test_loading_changes_the_adapter_and_the_engine(world: World, engine: EngineStandIn) -> None:
    world.add("one")
    assert await world.serving.loaded() == frozenset()
    await world.serving.load("one")
    assert engine.adapters == {"one": "/ws/adapters/one/1"}
    assert world.wants("one")
    assert await world.serving.loaded() == {"one"}
    current = await world.serving.current()
    assert current is not None
    assert current.name == "one"


async def test_loading_again_asks_the_engine_for_nothing(world: World, engine: EngineStandIn) -> None:
    world.add("one")
    await world.serving.load("one")
    await world.serving.load("one")
    assert [path for path, _ in engine.calls] == ["/v1/load_lora_adapter"]


async def test_the_one_before_is_unloaded(world: World, engine: EngineStandIn) -> None:
    for name in ("one", "two"):
        world.add(name)
        await world.serving.load(name)
    assert list(engine.adapters) == ["two"]
    assert (world.wants("one"), world.wants("two")) == (False, True)
    await world.serving.load("one")
    assert list(engine.adapters) == ["one"]


async def test_a_new_version_replaces_the_old_one(world: World, engine: EngineStandIn) -> None:
    world.add("one")
    await world.serving.load("one")
    world.add("one", "2")
    await world.seen(lambda adapters: adapters[0].path == "adapters/one/2")
    assert await world.serving.loaded() == frozenset()
    await world.serving.load("one")
    assert engine.adapters == {"one": "/ws/adapters/one/2"}


async def test_what_the_engine_refuses_is_not_asked_for(world: World, engine: EngineStandIn) -> None:
    world.add("one")
    engine.refusal = (400, "rank 128 is over the limit")
    with pytest.raises(EngineRefusedError, match="rank 128"):
        await world.serving.load("one")
    assert not world.wants("one")
    assert await world.serving.current() is None


async def test_what_cannot_be_loaded(world: World) -> None:
    with pytest.raises(AdapterNotFoundError):
        await world.serving.load("nobody")
    world.add("gone", path="adapters/gone/9")
    with pytest.raises(EngineRefusedError, match="files"):
        await world.serving.load("gone")


async def test_several_at_once_that_load_the_same_all_succeed(world: World, engine: EngineStandIn) -> None:
    world.add("one")
    await asyncio.gather(*(world.serving.load("one") for _ in range(4)))
    assert list(engine.adapters) == ["one"]
    assert world.wants("one")


async def test_unloading(world: World, engine: EngineStandIn) -> None:
    world.add("one")
    await world.serving.load("one")
    assert (await world.serving.unload()).name == "one"
    assert engine.adapters == {}
    assert not world.wants("one")
    with pytest.raises(NothingLoadedError):
        await world.serving.unload()


async def test_unloading_what_the_engine_has_forgotten(world: World, engine: EngineStandIn) -> None:
    world.add("one")
    await world.serving.load("one")
    engine.adapters.clear()
    assert await world.serving.loaded() == frozenset()
    await world.serving.unload()
    assert not world.wants("one")


async def test_deleting_takes_the_files_and_the_engines_copy(world: World, engine: EngineStandIn) -> None:
    world.add("one")
    world.add("one", "2")
    await world.serving.load("one")
    await world.serving.delete("one")
    assert engine.adapters == {}
    assert world.client.items(ADAPTERS) == []
    assert not (world.root / "adapters/one").exists()
    assert await world.serving.current() is None
    with pytest.raises(AdapterNotFoundError):
        await world.serving.delete("one")


async def test_deleting_one_that_lies_elsewhere_leaves_its_files(world: World) -> None:
    world.add("one", path="adapters/two/1")
    world.add("two")
    await world.serving.delete("one")
    assert (world.root / "adapters/two/1").exists()
    assert [adapter.name for adapter in await world.adapters.all()] == ["two"]


async def test_a_chat_is_answered_by_the_adapter_whatever_the_body_says(world: World, engine: EngineStandIn) -> None:
    world.add("one")
    adapter = await world.serving.load("one")
    async with world.serving.chat(adapter, {**CHAT, "model": "gpt-4"}) as answer:
        assert (answer.status, answer.media_type) == (200, "application/json")
        assert b"Hello" in await answer.content()
    assert engine.calls[-1] == ("/v1/chat/completions", {**CHAT, "model": "one"})


async def test_an_engine_that_was_started_anew_gets_the_adapter_again(world: World, engine: EngineStandIn) -> None:
    world.add("one")
    adapter = await world.serving.load("one")
    engine.adapters.clear()
    async with world.serving.chat(adapter, CHAT) as answer:
        assert answer.status == 200
    assert engine.adapters == {"one": "/ws/adapters/one/1"}


async def test_without_an_engine_the_adapter_alone_is_changed(tmp_path: Path) -> None:
    async with world_of(tmp_path, None) as world:
        world.add("one")
        adapter = await world.serving.load("one")
        assert world.wants("one")
        assert await world.serving.loaded() == {"one"}
        with pytest.raises(NoEngineError, match="FETTLE_API_ENGINE_URL"):
            async with world.serving.chat(adapter, CHAT):
                pass
        await world.serving.unload()
        assert await world.serving.loaded() == frozenset()


async def test_without_an_engine_of_its_own_the_operators_word_counts(tmp_path: Path) -> None:
    condition = {"type": "Loaded", "reason": "x", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    async with world_of(tmp_path, None) as world:
        world.add("seen", conditions=[{**condition, "status": "True"}])
        world.add("failed", conditions=[{**condition, "status": "False"}])
        await world.serving.load("failed")
        assert await world.serving.loaded() == {"seen"}


async def test_an_engine_that_cannot_be_asked_has_nothing_loaded(tmp_path: Path) -> None:
    async with world_of(tmp_path, EngineStandIn("http://127.0.0.1:9")) as world:
        world.add("one")
        assert await world.serving.loaded() == frozenset()
        with pytest.raises(EngineUnavailableError):
            await world.serving.load("one")
        assert not world.wants("one")


async def test_the_current_one_is_one_key_beside_others(world: World) -> None:
    metadata = {"name": CONFIG_MAP, "namespace": "default"}
    world.client.seed(CONFIG_MAPS, {"metadata": metadata, "data": {"active": "{}"}})
    world.add("one")
    await world.serving.load("one")
    config_map = world.client.item(CONFIG_MAPS, CONFIG_MAP)
    assert config_map is not None
    assert config_map["data"] == {"active": "{}", "current-adapter": "one"}
    await world.serving.unload()
    config_map = world.client.item(CONFIG_MAPS, CONFIG_MAP)
    assert config_map is not None
    assert config_map["data"] == {"active": "{}"}


async def test_a_current_one_that_somebody_deleted_is_none(world: World) -> None:
    world.add("one")
    await world.serving.load("one")
    await world.client.delete(ADAPTERS, "one", "default")
    await world.seen(lambda adapters: not adapters)
    assert await world.serving.current() is None
    with pytest.raises(NothingLoadedError):
        await world.serving.unload()


async def test_a_load_that_the_api_server_does_not_take_can_be_repeated(world: World, engine: EngineStandIn) -> None:
    world.add("one")
    world.client.fail_next("patch", UnavailableError(503, "x", "x"), ADAPTERS)
    with pytest.raises(UnavailableError):
        await world.serving.load("one")
    await world.serving.load("one")
    assert world.wants("one")
    assert len([path for path, _ in engine.calls if path == "/v1/load_lora_adapter"]) == 1


async def test_a_chat_goes_to_a_pod_that_has_the_adapter(tmp_path: Path, engine: EngineStandIn) -> None:
    async with world_of(tmp_path, None) as world:
        world.serving = Serving(world.adapters, CurrentAdapter(world.client, "default"), None, Path("/ws"), pod_key=KEY)
        engine.adapters = {"one": "/ws/adapters/one/1"}
        pods = [
            {"pod": "gone", "podUid": "u0", "url": "http://127.0.0.1:9", "path": "/ws/adapters/one/1"},
            {"pod": "older", "podUid": "u1", "url": "http://127.0.0.1:9", "path": "/ws/adapters/one/0"},
            {"pod": "starting", "podUid": "u2"},
            {"pod": "right", "podUid": "u3", "url": engine.url, "path": "/ws/adapters/one/1"},
        ]
        world.add("one", instances=pods)
        await world.seen(bool)
        async with world.serving.chat((await world.adapters.all())[0], CHAT) as answer:
            assert answer.status == 200
        assert engine.calls[-1][1]["model"] == "one"
        engine.adapters = {}
        with pytest.raises(NoEngineError, match=r"spec\.serving\.load"):
            async with world.serving.chat((await world.adapters.all())[0], CHAT):
                pass
