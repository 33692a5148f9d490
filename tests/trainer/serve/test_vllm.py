"""The controller of Adapters against a real vLLM on the CPU, with adapters that PEFT has written."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from fettle_client.engine import EngineClient
from fettle_client.protocol import ADAPTERS, PODS
from fettle_schema.artifact import ArtifactRequest
from fettle_schema.layout import ADAPTERS as ADAPTERS_DIRECTORY
from fettle_schema.names import ENGINE_LABELS
from fettle_trainer.adapter_sources import fetch_from_hub
from fettle_trainer.publish import PublishedArtifact, place_directory
from fettle_trainer.register import examine
from tests.support.adapter_world import NAMESPACE, AdapterWorld
from tests.support.adapters import write_adapter
from tests.support.tiny_model import build_tiny_model
from tests.support.vllm_server import BASE, MAX_RANK, VllmServer, install_vllm, missing_for_vllm, vllm_server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]

MODEL = "models/tiny"
QUESTION = "Name one colour."
LOAD = "POST /v1/load_lora_adapter"


class VllmWorld(AdapterWorld):
    """A namespace whose one engine is a real vLLM; files are examined by the trainer's own code."""

    def __init__(self, workspace: Path, server: VllmServer) -> None:
        super().__init__(engine_workspace=str(workspace))
        self.workspace, self.server = workspace, server
        self.engines = EngineClient()  # type: ignore[assignment] # the real one instead of dictionaries
        condition = {"type": "Ready", "status": "True"}
        status = {"phase": "Running", "podIP": "127.0.0.1", "conditions": [condition]}
        metadata = {"name": "vllm", "namespace": NAMESPACE, "labels": dict(ENGINE_LABELS)}
        self.client.seed(PODS, {"metadata": metadata, "status": status})

    def place(self, name: str, seed: int = 0, **settings: Any) -> PublishedArtifact:
        """Files of an adapter, at their place."""

        def write(directory: Path) -> None:
            write_adapter(self.workspace / MODEL, directory, seed, **settings)
            for path in directory.iterdir():
                if not path.name.startswith("adapter_"):
                    path.unlink()

        return place_directory(write, self.workspace, ADAPTERS_DIRECTORY, name, "uid")

    async def put(self, name: str, placed: PublishedArtifact) -> None:
        """An Adapter of these files that is to be loaded, or a new version of it."""
        source = {"workspace": {"path": placed.path}}
        if name in self.names(ADAPTERS):
            await self.edit(name, source=source)
        else:
            serving = {"load": True, "port": self.server.port}
            await self.create(name, baseModel={"id": MODEL}, source=source, serving=serving)
        await self.settle()
        self.advance(1)
        request = ArtifactRequest.model_validate(
            {"name": name, "uid": "u", "baseModel": {"id": MODEL}, "path": placed.path}
        )
        self.examined(examine(request, self.workspace, fetch_from_hub).manifest(), name)
        await self.settle()


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[VllmWorld]:
    reasons = missing_for_vllm()
    if reasons:
        pytest.skip("; ".join(reasons))
    install_vllm()
    build_tiny_model(tmp_path / MODEL, hidden_size=256)  # heads of 64: those of the usual size are too small for vLLM
    async with vllm_server(tmp_path / MODEL, tmp_path / "vllm.log") as server:
        world = VllmWorld(tmp_path, server)
        yield world
        await world.engines.close()


async def test_load_swap_restart_unload_and_what_is_refused(world: VllmWorld) -> None:
    server = world.server

    async def say(model: str) -> str:
        answer = await server.chat(model, QUESTION)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["choices"][0]["message"]["content"])

    base = await say(BASE)
    await world.put("helper", world.place("helper", seed=1))
    assert (world.phase("helper"), world.status("helper")["readyPods"]) == ("Loaded", "1/1")
    first = await say("helper")
    assert first != base
    await world.put("helper", world.place("helper", seed=2))
    assert world.phase("helper") == "Loaded"
    second = await say("helper")
    assert second not in (base, first)
    print(f"base {base!r}\nfirst version {first!r}\nsecond version {second!r}")

    large = world.place("large", r=2 * MAX_RANK)
    await world.put("large", large)
    assert world.condition("Loaded", "large") == ("False", "EngineRefused")
    print(f"vLLM says of rank {2 * MAX_RANK}: {world.status('large')['instances'][0]['error']}")
    calls = server.log.read_text().count(LOAD)
    assert calls >= 3
    [pod] = [pod for pod in world.client.items(PODS) if pod["metadata"]["name"] == "vllm"]
    pod["metadata"]["annotations"] = {"fettle.dev/max-lora-rank": str(MAX_RANK)}
    world.client.seed(PODS, pod)
    await world.settle()
    assert world.condition("Loaded", "large") == ("False", "RankTooHigh")
    await world.put("dora", world.place("dora", use_dora=True))
    assert world.condition("Loaded", "dora") == ("False", "NotServable")
    assert server.log.read_text().count(LOAD) == calls, "vLLM is not asked for either"

    await server.kill()
    world.advance(5)
    await world.settle()
    assert world.condition("Loaded", "helper") == ("False", "EngineUnreachable")
    await server.start()
    world.advance(50)
    await world.settle()
    assert world.phase("helper") == "Loaded"
    assert await say("helper") == second

    await world.edit("helper", serving={"load": False})
    await world.settle()
    assert world.phase("helper") == "Available"
    assert (await server.chat("helper", QUESTION)).status_code == 404
