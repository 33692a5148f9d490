import pytest

from fettle_api.adapters.engine import ServingEngine
from fettle_api.errors import EngineRefusedError, EngineUnavailableError
from tests.support.engine_stand_in import KEY, EngineStandIn, engine_stand_in
from tests.support.http_receiver import http_receiver
from tests.support.plain_server import plain_server


def engine_of(stand_in: EngineStandIn, suffix: str = "") -> ServingEngine:
    return ServingEngine(f"{stand_in.url}{suffix}", KEY)


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_adapters_come_and_go(suffix: str) -> None:
    async with engine_stand_in() as stand_in:
        engine = engine_of(stand_in, suffix)
        await engine.load("a", "/workspace/adapters/a/1")
        assert await engine.adapters() == {"a": "/workspace/adapters/a/1"}
        await engine.unload("a")
        await engine.unload("a")
        assert await engine.adapters() == {}


async def test_a_refusal_has_the_engines_words() -> None:
    async with engine_stand_in() as stand_in:
        stand_in.refusal = (400, "rank 128 is over the limit")
        with pytest.raises(EngineRefusedError, match="rank 128"):
            await engine_of(stand_in).load("a", "/x")


async def test_an_engine_that_loads_nothing_at_run_time_is_told_apart() -> None:
    async with http_receiver(404, 404) as receiver:
        engine = ServingEngine(f"http://127.0.0.1:{receiver.port}")
        with pytest.raises(EngineRefusedError, match="VLLM_ALLOW_RUNTIME_LORA_UPDATING"):
            await engine.load("a", "/x")
        with pytest.raises(EngineRefusedError, match="--enable-lora"):
            await engine.unload("a")


async def test_a_wrong_key_is_the_installations_fault() -> None:
    async with engine_stand_in() as stand_in:
        with pytest.raises(EngineUnavailableError, match="401"):
            await ServingEngine(stand_in.url, "wrong").load("a", "/x")
        with pytest.raises(EngineUnavailableError, match="401"):
            await ServingEngine(stand_in.url).adapters()


async def test_an_engine_that_is_not_there() -> None:
    engine = ServingEngine("http://127.0.0.1:9")
    with pytest.raises(EngineUnavailableError, match="cannot be reached"):
        await engine.adapters()
    with pytest.raises(EngineUnavailableError, match="cannot be reached"):
        async with engine.chat({"model": "x"}):
            pass


@pytest.mark.parametrize(
    "body", [b"{}", b"[]", b"no JSON", b'{"data": 1}', b'{"data": [1]}', b'{"data": [{"parent": 1}]}']
)
async def test_a_list_that_cannot_be_read(body: bytes) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    async with plain_server(head + body) as (port, _):
        with pytest.raises(EngineUnavailableError, match="cannot be read"):
            await ServingEngine(f"http://127.0.0.1:{port}").adapters()


async def test_an_answer_that_breaks_off() -> None:
    async with plain_server(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf") as (port, _):
        with pytest.raises(EngineUnavailableError):
            await ServingEngine(f"http://127.0.0.1:{port}").adapters()
