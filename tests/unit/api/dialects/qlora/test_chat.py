import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from fettle_api.app import create_app
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.logs import WorkspaceLogs
from fettle_api.server import Servers
from fettle_api.settings import ApiSettings
from fettle_client.protocol import ADAPTERS
from tests.support.engine_stand_in import KEY, EngineStandIn, engine_stand_in
from tests.support.facade import ReviewingClient
from tests.support.polling import eventually

MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def engine() -> AsyncIterator[EngineStandIn]:
    async with engine_stand_in() as running:
        yield running


@asynccontextmanager
async def listening(root: Path, engine: EngineStandIn) -> AsyncIterator[str]:
    """The dialect on a port of its own, with one adapter; its address."""
    workspace = root / "workspace"
    (workspace / "adapters/helper/1").mkdir(parents=True)
    (root / "key").write_text(f"{KEY}\n")
    client = ReviewingClient()
    spec = {"baseModel": {"id": "a/b"}, "source": {"trainingJob": "demo"}, "servedName": "helper"}
    metadata = {"name": "helper", "namespace": "default"}
    client.seed(ADAPTERS, {"metadata": metadata, "spec": spec, "status": {"path": "adapters/helper/1"}})
    settings = ApiSettings(
        workspace=workspace,
        port=0,
        dialect_ports={"qlora": 0},
        engine_url=engine.url,
        engine_key_file=root / "key",
    )
    servers = Servers(create_app(settings, client, workspace, WorkspaceLogs(Workspace(workspace))), settings)
    await servers.start()
    try:
        yield f"http://127.0.0.1:{servers.ports['qlora']}"
    finally:
        await asyncio.wait_for(servers.stop(), 30)


@asynccontextmanager
async def loaded(root: Path, engine: EngineStandIn) -> AsyncIterator[httpx.AsyncClient]:
    async with (
        listening(root, engine) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=30) as caller,
    ):
        answer = await caller.post("/api/adapters/helper/load")
        assert answer.status_code == 200, answer.text
        yield caller


async def test_the_loaded_adapter_answers(tmp_path: Path, engine: EngineStandIn) -> None:
    async with loaded(tmp_path, engine) as caller:
        answer = await caller.post("/v1/chat/completions", json={"model": "gpt-4", "messages": MESSAGES, "seed": 7})
        listed = (await caller.get("/api/adapters")).json()
    assert answer.json()["choices"][0]["message"]["content"] == "Hello"
    assert engine.calls[-1][1] == {"model": "helper", "messages": MESSAGES, "seed": 7}
    assert engine.adapters == {"helper": str(tmp_path / "workspace/adapters/helper/1")}
    assert (listed["current_adapter"], listed["adapters"][0]["is_loaded"]) == ("helper", True)


async def test_openais_own_client_gets_an_answer_and_a_stream(tmp_path: Path, engine: EngineStandIn) -> None:
    engine.go_on.set()
    async with loaded(tmp_path, engine) as caller:
        client = openai.AsyncOpenAI(base_url=f"{caller.base_url}/v1", api_key="none", max_retries=0)
        messages: Any = MESSAGES
        whole = await client.chat.completions.create(model="any", messages=messages)
        stream = await client.chat.completions.create(model="any", messages=messages, stream=True)
        pieces = [chunk.choices[0].delta.content async for chunk in stream]
        await client.close()
    assert whole.choices[0].message.content == "Hello"
    assert pieces == ["Hel", "lo"]


async def test_a_stream_is_passed_on_as_it_comes(tmp_path: Path, engine: EngineStandIn) -> None:
    body = {"messages": MESSAGES, "stream": True}
    async with loaded(tmp_path, engine) as caller, caller.stream("POST", "/v1/chat/completions", json=body) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        lines = answer.aiter_lines()
        first = await asyncio.wait_for(anext(lines), 10)
        assert json.loads(first.removeprefix("data: "))["choices"][0]["delta"] == {"content": "Hel"}
        assert engine.streams_ended == 0
        engine.go_on.set()
        rest = [line async for line in lines if line]
    assert rest[-1] == "data: [DONE]"


async def test_a_caller_who_goes_away_is_not_answered_on(tmp_path: Path, engine: EngineStandIn) -> None:
    engine.pieces = ["x"] * 10_000
    body = {"messages": MESSAGES, "stream": True}
    async with loaded(tmp_path, engine) as caller:
        async with caller.stream("POST", "/v1/chat/completions", json=body) as answer:
            await asyncio.wait_for(anext(answer.aiter_bytes()), 10)
        engine.go_on.set()

        async def has_ended() -> bool:
            return engine.streams_ended == 1

        await eventually(has_ended, "the engine's stream to end", 10, 0.01)


async def test_the_engines_refusal_in_this_apis_shape(tmp_path: Path, engine: EngineStandIn) -> None:
    async with loaded(tmp_path, engine) as caller:
        answer = await caller.post("/v1/chat/completions", json={"messages": MESSAGES, "temperature": -1})
    assert (answer.status_code, answer.json()) == (400, {"error": "temperature must be at least 0"})


async def test_an_engine_that_refuses_to_load(tmp_path: Path, engine: EngineStandIn) -> None:
    engine.refusal = (400, "rank 128 is over the limit")
    async with listening(tmp_path, engine) as url, httpx.AsyncClient(base_url=url, trust_env=False) as caller:
        answer = await caller.post("/api/adapters/helper/load")
        assert (answer.status_code, answer.json()["error"]) == (
            400,
            "Failed to load adapter: rank 128 is over the limit",
        )
        assert (await caller.get("/api/adapters")).json()["current_adapter"] is None


async def test_an_engine_that_has_broken(tmp_path: Path, engine: EngineStandIn) -> None:
    async with loaded(tmp_path, engine) as caller:
        engine.adapters.clear()
        engine.refusal = (500, "out of memory")
        answer = await caller.post("/v1/chat/completions", json={"messages": MESSAGES})
        assert (answer.status_code, answer.json().keys()) == (502, {"error"})
        listed = (await caller.get("/api/adapters")).json()
        assert (listed["current_adapter"], listed["adapters"][0]["is_loaded"]) == (None, False)
        assert (await caller.post("/api/adapters/unload")).status_code == 200
