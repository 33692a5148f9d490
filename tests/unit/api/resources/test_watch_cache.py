import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from fettle_api.errors import NotReadyError
from fettle_api.metrics import Metrics
from fettle_api.resources.watch_cache import WatchCache
from fettle_client.protocol import CONFIG_MAPS, GoneError, Manifest, UnavailableError
from tests.support.memory_client import MemoryClient


def config_map(name: str, value: str = "1") -> Manifest:
    return {"metadata": {"name": name, "namespace": "default"}, "data": {"value": value}}


@asynccontextmanager
async def running(client: MemoryClient, metrics: Metrics | None = None) -> AsyncIterator[WatchCache[str]]:
    cache = WatchCache(client, CONFIG_MAPS, "default", _value, str, retry_seconds=0.01, metrics=metrics)
    task = asyncio.create_task(cache.run())
    try:
        yield cache
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _value(manifest: Manifest) -> str:
    if "value" not in manifest["data"]:
        raise ValueError("no value")
    return str(manifest["data"]["value"])


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not holds():  # noqa: ASYNC110 - the cache has no event for it
            await asyncio.sleep(0.005)


async def test_it_has_what_was_there_and_what_comes() -> None:
    client = MemoryClient()
    client.seed(CONFIG_MAPS, config_map("old"))
    client.seed(CONFIG_MAPS, {"metadata": {"name": "other", "namespace": "elsewhere"}, "data": {"value": "1"}})
    async with running(client) as cache:
        await cache.wait_filled(5)
        assert cache.all() == ["1"]
        await cache.wait_for(await client.create(CONFIG_MAPS, config_map("new", "2")), 5)
        assert cache.get("new") == "2"


async def test_a_writer_waits_for_its_own_write() -> None:
    client = MemoryClient()
    client.seed(CONFIG_MAPS, config_map("a"))
    async with running(client) as cache:
        await cache.wait_filled(5)
        for number in range(20):
            written = await client.patch(CONFIG_MAPS, "a", "default", {"data": {"value": str(number)}})
            assert await cache.wait_for(written, 5)
            assert cache.get("a") == str(number)


async def test_a_writer_does_not_wait_for_ever() -> None:
    client = MemoryClient()
    async with running(client) as cache:
        await cache.wait_filled(5)
        assert not await cache.wait_for({"metadata": {"resourceVersion": "999"}}, 0.01)


async def test_what_is_deleted_is_gone() -> None:
    client = MemoryClient()
    client.seed(CONFIG_MAPS, config_map("a"))
    async with running(client) as cache:
        await cache.wait_filled(5)
        await client.delete(CONFIG_MAPS, "a", "default")
        await eventually(lambda: cache.get("a") is None)


async def test_lost_history_is_read_again_with_what_was_deleted_meanwhile() -> None:
    client = MemoryClient()
    for name in ("a", "b"):
        client.seed(CONFIG_MAPS, config_map(name))
    async with running(client) as cache:
        await cache.wait_filled(5)
        client.seed(CONFIG_MAPS, config_map("c"))
        await client.delete(CONFIG_MAPS, "a", "default")
        client.forget_history()
        await eventually(lambda: cache.get("a") is None and cache.get("c") == "1")
        assert cache.get("b") == "1"


async def test_all_come_in_order_whatever_changes() -> None:
    client = MemoryClient()
    for name, value in (("a", "3"), ("b", "1"), ("c", "2")):
        client.seed(CONFIG_MAPS, config_map(name, value))
    async with running(client) as cache:
        await cache.wait_filled(5)
        assert cache.all() == ["1", "2", "3"]
        await cache.wait_for(await client.create(CONFIG_MAPS, config_map("d", "0")), 5)
        await client.delete(CONFIG_MAPS, "c", "default")
        await eventually(lambda: cache.all() == ["0", "1", "3"])


async def test_a_list_whose_pages_are_lost_begins_again() -> None:
    client = MemoryClient()
    client.seed(CONFIG_MAPS, config_map("a"))
    client.fail_next("list", GoneError(410, "Expired", "too old"), times=2)
    async with running(client) as cache:
        await cache.wait_filled(5)
        assert cache.all() == ["1"]


async def test_it_survives_an_unreachable_server() -> None:
    client, metrics = MemoryClient(), Metrics()
    client.seed(CONFIG_MAPS, config_map("a"))
    client.fail_next("list", UnavailableError(503, "ServiceUnavailable", "down"), times=2)
    client.fail_next("watch", UnavailableError(503, "ServiceUnavailable", "down"))
    async with running(client, metrics) as cache:
        await cache.wait_filled(5)
        await cache.wait_for(await client.create(CONFIG_MAPS, config_map("b")), 5)
        assert cache.get("b") == "1"
    assert metrics.registry.get_sample_value("fettle_api_watch_failures_total", {"kind": "ConfigMap"}) == 3


async def test_one_that_cannot_be_read_hides_no_other() -> None:
    client = MemoryClient()
    client.seed(CONFIG_MAPS, {"metadata": {"name": "bad", "namespace": "default"}, "data": {}})
    client.seed(CONFIG_MAPS, config_map("good"))
    async with running(client) as cache:
        await cache.wait_filled(5)
        assert cache.all() == ["1"]


async def test_listeners_hear_of_changes_and_cannot_stop_them() -> None:
    client, heard = MemoryClient(), list[str]()
    async with running(client) as cache:
        cache.subscribe(lambda name: (_ for _ in ()).throw(RuntimeError(name)))
        cache.subscribe(heard.append)
        await cache.wait_filled(5)
        await cache.wait_for(await client.create(CONFIG_MAPS, config_map("a")), 5)
        await eventually(lambda: heard == ["a"])


async def test_reading_before_the_first_list_is_refused_in_time() -> None:
    cache = WatchCache(MemoryClient(), CONFIG_MAPS, "default", _value, str)
    with pytest.raises(NotReadyError):
        await cache.wait_filled(0.01)


async def test_whoever_waits_for_a_change_is_told_of_it_or_that_it_did_not_come() -> None:
    client = MemoryClient()
    client.seed(CONFIG_MAPS, config_map("a"))
    async with running(client) as cache:
        await cache.wait_filled(5)
        assert not await cache.wait_until(lambda: cache.get("a") is None, 0.01)
        await client.delete(CONFIG_MAPS, "a", "default")
        assert await cache.wait_until(lambda: cache.get("a") is None, 5)
