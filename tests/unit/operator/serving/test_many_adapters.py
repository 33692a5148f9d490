"""A hundred Adapters on twenty engines over HTTP, from a cold start, with the controller as it runs."""

import asyncio
import time
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

from fettle_client.protocol import ADAPTERS, CLAIMS, PODS
from fettle_operator.controller import Controller
from fettle_schema.names import ENGINE_LABELS
from tests.support.adapter_world import DIGEST, NAMESPACE, adapter, place, served
from tests.support.engine_stand_in import EngineStandIn, engine_stand_in
from tests.support.fake_kubelet import settings
from tests.support.memory_client import MemoryClient
from tests.support.polling import eventually

ADAPTER_COUNT, ENGINE_COUNT = 100, 20


async def test_they_converge_with_one_list_call_for_each_engine_and_round() -> None:
    client = MemoryClient()
    async with AsyncExitStack() as stack:
        engines = await start_engines(stack, client)
        port = int(engines[0].url.rpartition(":")[2])
        for number in range(ADAPTER_COUNT):
            client.seed(ADAPTERS, verified_adapter(f"adapter-{number}", port))
        client.seed(CLAIMS, {"metadata": {"name": "fettle-workspace", "namespace": NAMESPACE}})
        controller = Controller(client, settings(), lambda: datetime.now(UTC))
        watches = [asyncio.create_task(feed(controller, client))]
        work, started = asyncio.create_task(controller.run()), time.monotonic()

        async def is_converged() -> bool:
            phases = [(item.get("status") or {}).get("phase") for item in client.items(ADAPTERS)]
            return phases == ["Loaded"] * ADAPTER_COUNT

        await eventually(is_converged, "all Adapters are Loaded", within_seconds=120)
        print(f"{ADAPTER_COUNT} Adapters on {ENGINE_COUNT} engines in {time.monotonic() - started:.1f} s")
        rounds = sum(call.verb == "list" and call.kind == "Pod" for call in client.calls)
        controller.stop()
        await work
        for watch in watches:
            watch.cancel()
        await asyncio.gather(*watches, return_exceptions=True)
    expected = {f"adapter-{number}": served(f"adapter-{number}") for number in range(ADAPTER_COUNT)}
    for engine in engines:
        assert engine.adapters == expected
        assert len(engine.calls) == ADAPTER_COUNT, "each adapter is loaded once"
        assert 1 <= engine.list_calls <= rounds
    for item in client.items(ADAPTERS):
        assert item["status"]["readyPods"] == f"{ENGINE_COUNT}/{ENGINE_COUNT}"


async def start_engines(stack: AsyncExitStack, client: MemoryClient) -> list[EngineStandIn]:
    """Twenty addresses, one port, and a pod for each."""
    engines: list[EngineStandIn] = []
    for number in range(1, ENGINE_COUNT + 1):
        host = f"127.0.0.{number}"
        port = int(engines[0].url.rpartition(":")[2]) if engines else 0
        engines.append(await stack.enter_async_context(engine_stand_in(host, port, key=None)))
        condition = {"type": "Ready", "status": "True"}
        metadata = {"name": f"engine-{number}", "namespace": NAMESPACE, "labels": dict(ENGINE_LABELS)}
        status = {"phase": "Running", "podIP": host, "conditions": [condition]}
        client.seed(PODS, {"metadata": metadata, "status": status})
    return engines


def verified_adapter(name: str, port: int) -> dict[str, Any]:
    """An Adapter as it is after its files were examined."""
    manifest = adapter(name, baseModel={"id": "models/base"}, serving={"load": True, "port": port})
    now = datetime.now(UTC).isoformat()
    conditions = [
        {"type": kind, "status": "True", "reason": reason, "message": "", "lastTransitionTime": now}
        for kind, reason in (("ArtifactReady", "Verified"), ("Compatible", "Fits"))
    ]
    status = {"path": place(name), "digest": DIGEST, "rank": 8, "verifiedAt": now, "conditions": conditions}
    return {**manifest, "status": {**status, "source": manifest["spec"]["source"]}}


async def feed(controller: Controller, client: MemoryClient) -> None:
    """What Kopf does."""
    async for event in client.watch(ADAPTERS, None, "0"):
        controller.observe_event(event.type, event.manifest)
