"""Uninstalling leaves no finalizer of ours on an Adapter, and nobody else's is touched."""

import asyncio
from typing import Any

from fettle_client.finalizers import remove_finalizers, unload_all
from fettle_client.protocol import ADAPTERS, ConflictError, Manifest
from tests.support.memory_client import MemoryClient


async def make(client: MemoryClient, name: str, namespace: str, *finalizers: str) -> None:
    metadata = {"name": name, "namespace": namespace, "finalizers": list(finalizers)}
    await client.create(ADAPTERS, {"apiVersion": "fettle.dev/v1alpha1", "kind": "Adapter", "metadata": metadata})


async def finalizers_of(client: MemoryClient) -> dict[str, list[str]]:
    listed = (await client.list(ADAPTERS, None)).items
    return {one["metadata"]["name"]: one["metadata"].get("finalizers") or [] for one in listed}


async def test_ours_go_and_others_stay() -> None:
    client, said = MemoryClient(), list[str]()
    await make(client, "loaded", "one", "fettle.dev/loaded")
    await make(client, "watched", "two", "other.example/keep", "fettle.dev/loaded")
    await make(client, "free", "two")
    await remove_finalizers(client, [], said.append)
    assert await finalizers_of(client) == {"loaded": [], "watched": ["other.example/keep"], "free": []}
    assert said == [
        "Adapter one/loaded: removed fettle.dev/loaded",
        "Adapter two/watched: removed fettle.dev/loaded",
    ]
    await remove_finalizers(client, [], said.append)
    assert len(said) == 2


async def test_only_the_namespaces_that_were_watched() -> None:
    client = MemoryClient()
    await make(client, "ours", "one", "fettle.dev/loaded")
    await make(client, "theirs", "two", "fettle.dev/loaded")
    await remove_finalizers(client, ["one"], lambda _: None)
    assert await finalizers_of(client) == {"ours": [], "theirs": ["fettle.dev/loaded"]}


async def test_an_adapter_that_waits_for_its_deletion_goes() -> None:
    client = MemoryClient()
    await make(client, "leaving", "one", "fettle.dev/loaded")
    await client.delete(ADAPTERS, "leaving", "one")
    assert "leaving" in await finalizers_of(client)
    await remove_finalizers(client, [], lambda _: None)
    assert await finalizers_of(client) == {}


async def test_a_write_in_between_is_not_lost() -> None:
    class Interrupted(MemoryClient):
        conflicts = 1

        async def patch(self, *arguments: Any, **options: Any) -> Manifest:
            if self.conflicts:
                self.conflicts -= 1
                raise ConflictError(409, "Conflict", "it was changed")
            return await super().patch(*arguments, **options)

    client = Interrupted()
    await make(client, "busy", "one", "fettle.dev/loaded")
    await remove_finalizers(client, [], lambda _: None)
    assert await finalizers_of(client) == {"busy": []}


async def test_the_operator_is_asked_to_unload_and_waited_for() -> None:
    client, said = MemoryClient(), list[str]()
    await make(client, "loaded", "one", "fettle.dev/loaded")
    await make(client, "free", "one", "other.example/keep")
    await client.patch(ADAPTERS, "loaded", "one", {"spec": {"serving": {"load": True}}})
    unloading = asyncio.create_task(unload_all(client, [], 60, said.append))
    while not said:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.01)
    adapter = await client.get(ADAPTERS, "loaded", "one")
    assert adapter["spec"]["serving"]["load"] is False
    assert not unloading.done()
    await client.patch(ADAPTERS, "loaded", "one", {"metadata": {"finalizers": []}})
    await unloading
    assert said == ["Adapter one/loaded: is to be unloaded"]


async def test_an_operator_that_does_nothing_is_not_waited_for_in_vain() -> None:
    client = MemoryClient()
    await make(client, "loaded", "one", "fettle.dev/loaded")
    await unload_all(client, ["one"], 0.01, lambda _: None)
    await remove_finalizers(client, ["one"], lambda _: None)
    assert await finalizers_of(client) == {"loaded": []}
