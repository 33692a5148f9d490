"""Calls to engines, on a stand-in that speaks their protocol."""

from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from fettle_client.engine import EngineClient, EngineFailedError, EngineRefusesError, EngineSilentError, words_of
from tests.support.engine_stand_in import KEY, EngineStandIn, engine_stand_in
from tests.support.http_receiver import http_server


@pytest.fixture
async def engine() -> AsyncIterator[EngineStandIn]:
    async with engine_stand_in() as engine:
        yield engine


@pytest.fixture
async def client() -> AsyncIterator[EngineClient]:
    client = EngineClient()
    yield client
    await client.close()


async def test_load_replace_list_unload(engine: EngineStandIn, client: EngineClient) -> None:
    await client.load(engine.url, KEY, "a", "/workspace/adapters/a/1", replaces=False)
    await client.load(engine.url, KEY, "a", "/workspace/adapters/a/2", replaces=True)
    models = await client.models(engine.url, KEY)
    assert [(model["id"], model["root"]) for model in models if model["parent"]] == [("a", "/workspace/adapters/a/2")]
    await client.unload(engine.url, KEY, "a")
    await client.unload(engine.url, KEY, "a")
    assert engine.adapters == {}


async def test_a_refusal_has_the_engines_words(engine: EngineStandIn, client: EngineClient) -> None:
    engine.refusal = (400, "LoRA rank 128 is greater than max_lora_rank 64.")
    with pytest.raises(EngineRefusesError) as refused:
        await client.load(engine.url, KEY, "a", "/x", replaces=False)
    assert str(refused.value) == "LoRA rank 128 is greater than max_lora_rank 64."


async def test_vllm_fails_with_500_where_others_refuse(engine: EngineStandIn, client: EngineClient) -> None:
    engine.refusal = (500, "LoRA rank 32 is greater than max_lora_rank 16.")
    with pytest.raises(EngineFailedError, match="500: LoRA rank 32 is greater"):
        await client.load(engine.url, KEY, "a", "/x", replaces=False)


@pytest.mark.parametrize("key", [None, "wrong"])
async def test_without_the_key_an_engine_is_silent(engine: EngineStandIn, client: EngineClient, key: str) -> None:
    with pytest.raises(EngineSilentError, match="401"):
        await client.models(engine.url, key)
    with pytest.raises(EngineSilentError, match="401"):
        await client.load(engine.url, key, "a", "/x", replaces=False)


async def test_nobody_is_there(client: EngineClient) -> None:
    with pytest.raises(EngineSilentError, match="cannot be reached"):
        await client.models("http://127.0.0.1:9", None)


async def test_an_engine_without_the_routes_is_told_how_to_get_them(client: EngineClient) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response({"detail": "Not Found"}, status=404)

    async with http_server(answer) as port:
        with pytest.raises(EngineRefusesError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
            await client.load(f"http://127.0.0.1:{port}", None, "a", "/x", replaces=False)


async def test_no_redirect_is_followed(engine: EngineStandIn, client: EngineClient) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        raise web.HTTPTemporaryRedirect(f"{engine.url}/v1/models")

    async with http_server(answer) as port:
        with pytest.raises(EngineSilentError, match="307"):
            await client.models(f"http://127.0.0.1:{port}", KEY)
        with pytest.raises(EngineRefusesError, match="307"):
            await client.load(f"http://127.0.0.1:{port}", KEY, "a", "/x", replaces=False)
    assert engine.list_calls == 0


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b'{"data": 3}', b'{"data": [3]}', b'{"data":' + b"[" * 100000])
async def test_a_list_that_makes_no_sense(client: EngineClient, content: bytes) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=content, content_type="application/json")

    async with http_server(answer) as port:
        with pytest.raises(EngineSilentError, match="cannot be read"):
            await client.models(f"http://127.0.0.1:{port}", None)


async def test_an_answer_without_end_is_not_read_to_its_end(client: EngineClient) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b" " * (5 * 1024 * 1024))

    async with http_server(answer) as port:
        with pytest.raises(EngineSilentError, match="more than"):
            await client.models(f"http://127.0.0.1:{port}", None)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"error": {"message": "no"}}', "no"),
        (b'{"object": "error", "message": "no"}', "no"),
        (b'{"error": "no"}', "no"),
        (b'{"detail": "no"}', "no"),
        (b"  no\n", "no"),
        (b"", ""),
        (b"{}", ""),
        (b"[1]", "[1]"),
        (b'{"error": {}}', ""),
        (b"\xff", "\ufffd"),
    ],
)
def test_the_words_of_an_error(content: bytes, words: str) -> None:
    assert words_of(content) == words
