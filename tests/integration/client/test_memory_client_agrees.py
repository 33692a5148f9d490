"""The fake of the unit tests against the real API server: both tell the same story."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import pytest

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import (
    CONFIG_MAPS,
    TRAINING_JOBS,
    ApiError,
    Manifest,
    ResourceClient,
)
from tests.support.memory_client import MemoryClient
from tests.support.polling import eventually

Story = list[Any]
JOB_SPEC = {"method": "sft", "baseModel": {"id": "a/b"}, "dataset": {"source": {"workspace": {"path": "datasets/x"}}}}


def config_map(namespace: str, data: dict[str, str] | None = None, name: str = "a", **metadata: Any) -> Manifest:
    return {"metadata": {"name": name, "namespace": namespace, **metadata}, "data": data or {}}


def condition(name: str, reason: str = "R") -> Manifest:
    times = {"lastTransitionTime": "2025-01-01T00:00:00Z", "observedGeneration": 1}
    return {"type": name, "status": "True", "reason": reason, "message": "m", **times}


async def told(call: Awaitable[Manifest]) -> Any:
    """The data or status of an answer, or how it was refused."""
    try:
        manifest = await call
    except ApiError as error:
        return type(error).__name__, error.status, error.code
    return manifest.get("data"), status_of(manifest)


def status_of(manifest: Manifest) -> Manifest:
    """Without `conditions: []`, which is a default of the schema; the fake has no schema."""
    return {field: value for field, value in manifest.get("status", {}).items() if (field, value) != ("conditions", [])}


async def applies(client: ResourceClient, namespace: str) -> Story:
    def apply(manager: str, force: bool = True, **data: str) -> Awaitable[Any]:
        return told(client.apply(CONFIG_MAPS, config_map(namespace, data), manager, force))

    return [
        await apply("one", k="1", l="1"),
        await apply("two", m="1", l="1"),
        await apply("two", m="1", k="2", force=False),
        await apply("one", k="1"),
        await apply("two", m="1", k="2"),
        await apply("one"),
        await told(client.patch(CONFIG_MAPS, "a", namespace, {"data": {"m": "patched"}})),
        await apply("two", k="3"),
        await apply("two"),
    ]


async def shared_status(client: ResourceClient, namespace: str) -> Story:
    async def write(manager: str, **status: Any) -> Any:
        return await told(client.apply_status(TRAINING_JOBS, "job", namespace, status, manager))

    await client.create(TRAINING_JOBS, {"metadata": {"name": "job", "namespace": namespace}, "spec": JOB_SPEC})
    return [
        await write("one", phase="Queued", conditions=[condition("Accepted"), condition("Admitted")]),
        await write("two", progress={"step": 1, "loss": 2.5}, checkpoints=[]),
        await write("one", phase="Running", conditions=[condition("Admitted", "S"), condition("Running")]),
        await write("two", progress={"step": 2}),
        await write("one", message="m"),
        await write("two"),
    ]


async def generations(client: ResourceClient, namespace: str) -> Story:
    metadata = {"name": "job", "namespace": namespace, "finalizers": ["fettle.dev/test"]}
    created = await client.create(
        TRAINING_JOBS, {"metadata": metadata, "spec": JOB_SPEC, "status": {"phase": "Failed"}}
    )
    labelled = await client.patch(TRAINING_JOBS, "job", namespace, {"metadata": {"labels": {"l": "1"}}})
    unchanged = await client.patch(TRAINING_JOBS, "job", namespace, {"metadata": {"labels": {"l": "1"}}})
    reported = await client.apply_status(TRAINING_JOBS, "job", namespace, {"phase": "Queued"}, "m")
    changed = await client.patch(TRAINING_JOBS, "job", namespace, {"spec": {"suspend": True}})
    await client.delete(TRAINING_JOBS, "job", namespace)
    deleted = await client.get(TRAINING_JOBS, "job", namespace)
    released = await client.patch(TRAINING_JOBS, "job", namespace, {"metadata": {"finalizers": None}})
    manifests = [created, labelled, unchanged, reported, changed, deleted, released]
    return [
        *[(found["metadata"]["generation"], status_of(found)) for found in manifests],
        unchanged["metadata"]["resourceVersion"] == labelled["metadata"]["resourceVersion"],
        await told(client.get(TRAINING_JOBS, "job", namespace)),
    ]


async def refusals(client: ResourceClient, namespace: str) -> Story:
    created = await client.create(CONFIG_MAPS, config_map(namespace))
    version = created["metadata"]["resourceVersion"]
    other = "00000000-0000-0000-0000-000000000000"

    async def deleted(name: str, uid: str | None = None) -> str:
        await client.delete(CONFIG_MAPS, name, namespace, uid)
        return "success"

    await client.patch(CONFIG_MAPS, "a", namespace, {"data": {"k": "1"}})
    return [
        await told(client.create(CONFIG_MAPS, config_map(namespace))),
        await told(client.get(CONFIG_MAPS, "absent", namespace)),
        await told(client.replace(CONFIG_MAPS, created)),
        await told(client.replace(CONFIG_MAPS, config_map(namespace, name="absent", resourceVersion=version))),
        await told(client.patch(CONFIG_MAPS, "a", namespace, {}, version)),
        await told(client.apply(CONFIG_MAPS, config_map(namespace, resourceVersion=version), "m")),
        await told(client.apply_status(TRAINING_JOBS, "absent", namespace, {}, "m")),
        await told(client.apply_status(TRAINING_JOBS, "absent", namespace, {}, "m", uid=other)),
        await deleted("absent"),
        await deleted("a", uid=other),
        await told(client.get(CONFIG_MAPS, "a", namespace)),
    ]


async def watched(client: ResourceClient, namespace: str) -> Story:
    start = (await client.list(CONFIG_MAPS, namespace)).resource_version
    labels, finalizers = {"app": "x"}, ["fettle.dev/test"]
    await client.create(CONFIG_MAPS, config_map(namespace, labels=labels, finalizers=finalizers))
    await client.patch(CONFIG_MAPS, "a", namespace, {"data": {"k": "1"}})
    await client.patch(CONFIG_MAPS, "a", namespace, {"metadata": {"labels": {"app": "y"}}})
    await client.patch(CONFIG_MAPS, "a", namespace, {"metadata": {"labels": labels}})
    await client.delete(CONFIG_MAPS, "a", namespace)
    await client.patch(CONFIG_MAPS, "a", namespace, {"metadata": {"finalizers": None}})
    await client.create(CONFIG_MAPS, config_map(namespace, name="end", labels=labels))
    story: Story = []
    async with asyncio.timeout(60), aclosing(client.watch(CONFIG_MAPS, namespace, start, "app=x")) as events:  # type: ignore[type-var]
        async for event in events:
            metadata = event.manifest["metadata"]
            story.append((event.type, metadata["name"], "deletionTimestamp" in metadata))
            if metadata["name"] == "end":
                return story
    return story


async def collected(client: ResourceClient, namespace: str) -> Story:
    async def make(name: str, owner: Manifest | None, **metadata: Any) -> Manifest:
        references = []
        if owner:
            reference = {"apiVersion": "v1", "kind": "ConfigMap", "blockOwnerDeletion": True}
            references = [{**reference, **{key: owner["metadata"][key] for key in ("name", "uid")}}]
        metadata |= {"ownerReferences": references, "labels": {"app": "x"}}
        return await client.create(CONFIG_MAPS, config_map(namespace, name=name, **metadata))

    async def marks() -> list[tuple[str, bool]]:
        found = (await client.list(CONFIG_MAPS, namespace, "app=x")).items
        return sorted((item["metadata"]["name"], "deletionTimestamp" in item["metadata"]) for item in found)

    async def becomes(expected: list[tuple[str, bool]]) -> bool:
        return await eventually(lambda: _equal(marks, expected), f"{expected}")

    owner = await make("owner", None)
    child = await make("child", owner, finalizers=["fettle.dev/test"])
    await make("grandchild", child)
    await make("bystander", None)
    await client.delete(CONFIG_MAPS, "owner", namespace, propagation="Foreground")
    await becomes([("bystander", False), ("child", True), ("owner", True)])
    await client.patch(CONFIG_MAPS, "child", namespace, {"metadata": {"finalizers": None}})
    await becomes([("bystander", False)])
    return await marks()


async def _equal(actual: Callable[[], Awaitable[Any]], expected: Any) -> bool:
    return bool(await actual() == expected)


SCENARIOS = [applies, shared_status, generations, refusals, watched, collected]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
async def test_both_tell_the_same_story(
    client: KubernetesClient, namespace: str, scenario: Callable[[ResourceClient, str], Awaitable[Story]]
) -> None:
    real = await scenario(client, namespace)
    assert await scenario(MemoryClient(), namespace) == real
    assert real
