"""Adapters and the operator's process on a real API server; the engines are stand-ins on this machine."""

from fettle_client.protocol import ADAPTERS, EVENTS, JOBS, PODS
from tests.support.adapter_world import DIGEST, adapter, report, served
from tests.support.engine_stand_in import engine_stand_in
from tests.support.operator_process import Namespace, OperatorProcesses, kill
from tests.support.polling import eventually


async def test_an_adapter_is_registered_loaded_swapped_unloaded_and_deleted(
    world: Namespace, processes: OperatorProcesses
) -> None:
    other_digest = "sha256:" + "cd" * 32
    async with engine_stand_in(key=None) as engine:
        await world.start_engine("engine-0", "127.0.0.1")
        processes.start()
        manifest = adapter(baseModel={"id": "models/base"})
        manifest["metadata"]["namespace"] = world.name
        manifest["spec"]["serving"] = {"load": True, "port": int(engine.url.rpartition(":")[2])}
        await world.client.create(ADAPTERS, manifest)
        await world.examination_ends(report())
        loaded = await world.adapter_reaches("Loaded")
        assert engine.adapters == {"demo": served()}
        assert loaded["metadata"]["finalizers"] == ["fettle.dev/loaded"]
        assert (loaded["status"]["readyPods"], loaded["status"]["digest"]) == ("1/1", DIGEST)
        assert loaded["status"]["instances"][0]["pod"] == "engine-0"

        kill(processes.started[0])
        processes.start()
        source = {"workspace": {"path": "uploads/second"}}
        await world.client.patch(ADAPTERS, "demo", world.name, {"spec": {"source": source}})
        await eventually(lambda: _has_jobs(world, 1), "the second version is examined")
        await world.examination_ends(report(digest=other_digest))

        async def is_swapped() -> bool:
            return engine.adapters == {"demo": served(digest=other_digest)}

        await eventually(is_swapped, "the second version is loaded in place")
        assert all(path == "/v1/load_lora_adapter" for path, _ in engine.calls), "nothing was unloaded"
        swapped = await world.adapter_reaches("Loaded")
        assert [version["digest"] for version in swapped["status"]["history"]] == [other_digest, DIGEST]
        await eventually(lambda: _has_jobs(world, 0), "the examination's Job is removed")

        await world.client.delete(ADAPTERS, "demo", world.name)

        async def is_gone() -> bool:
            return await world.adapter() is None

        await eventually(is_gone, "it is unloaded, then gone")
        assert engine.adapters == {}
    events = await world.client.list(EVENTS, world.name, field_selector="involvedObject.kind=Adapter")
    assert {"Loaded"} <= {event["message"].split(":")[0] for event in events.items}
    assert "Traceback" not in processes.log


async def _has_jobs(world: Namespace, count: int) -> bool:
    jobs, pods = await world.names(JOBS), await world.names(PODS)
    return len(jobs) == count and len(pods) == count + 1
