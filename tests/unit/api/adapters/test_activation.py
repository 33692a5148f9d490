import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from fettle_api.adapters.activation import CONFIG_MAP, KEY, Activation
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job
from fettle_client.protocol import CONFIG_MAPS
from tests.support.memory_client import MemoryClient

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def job(name: str, uid: str = "u") -> JobView:
    metadata = {"name": name, "uid": uid, "creationTimestamp": "2026-01-01T12:00:00Z"}
    return view_job({"metadata": metadata, "spec": {"baseModel": {"id": "a/b"}}, "status": {"adapter": name}})


@pytest.fixture
def client() -> MemoryClient:
    return MemoryClient()


@pytest.fixture
def activation(client: MemoryClient) -> Activation:
    return Activation(client, "default", lambda: NOW)


async def test_the_last_one_is_active(activation: Activation, client: MemoryClient) -> None:
    assert await activation.get() is None
    for name in ("first", "second"):
        await activation.activate(job(name), f"{name}:latest")
        active = await activation.get()
        assert active is not None
        assert (active.adapter, active.provider_model, active.activated_at) == (name, f"{name}:latest", NOW)
        assert active.is_of(job(name))
        assert not active.is_of(job(name, "another"))
    (config_map,) = client.items(CONFIG_MAPS)
    assert list(config_map["data"]) == [KEY]


async def test_of_many_at_once_one_is_active(activation: Activation, client: MemoryClient) -> None:
    await asyncio.gather(*(activation.activate(job(f"job-{number}"), "x") for number in range(9)))
    (config_map,) = client.items(CONFIG_MAPS)
    assert list(config_map["data"]) == [KEY]
    assert await activation.get() is not None


async def test_other_keys_stay(activation: Activation, client: MemoryClient) -> None:
    client.seed(CONFIG_MAPS, {"metadata": {"name": CONFIG_MAP, "namespace": "default"}, "data": {"engine": "x"}})
    await activation.activate(job("mine"), "m")
    assert client.items(CONFIG_MAPS)[0]["data"].keys() == {"engine", KEY}


@pytest.mark.parametrize("data", [None, {}, {KEY: ""}, {KEY: "[]"}, {KEY: '{"trainingJob": "x"}'}])
async def test_a_key_that_somebody_broke_is_none(activation: Activation, client: MemoryClient, data: Any) -> None:
    client.seed(CONFIG_MAPS, {"metadata": {"name": CONFIG_MAP, "namespace": "default"}, "data": data})
    assert await activation.get() is None
