"""Adapters out of engines: unloaded when nobody wants them, and before they go."""

import asyncio

from fettle_client.protocol import ADAPTERS
from fettle_operator.adapters.controller import Look
from tests.support.adapter_world import NAMESPACE, AdapterWorld, report, served
from tests.support.polling import eventually


async def test_it_is_unloaded_when_nobody_wants_it_any_more() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded()
    await world.edit(serving={"load": False})
    await world.settle()
    assert (engine.adapters, world.phase(), world.has_finalizer()) == ({}, "Available", False)
    assert world.condition("Loaded") == ("False", "NotRequested")
    assert "instances" not in world.status()


async def test_a_loaded_adapter_is_unloaded_before_it_goes() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded()
    await world.delete()
    assert world.names(ADAPTERS) == ["demo"]
    await world.settle()
    assert (engine.adapters, world.names(ADAPTERS)) == ({}, [])


async def test_an_adapter_that_was_never_loaded_goes_at_once() -> None:
    world = AdapterWorld()
    await world.ready()
    await world.delete()
    assert world.names(ADAPTERS) == []


async def test_deletion_waits_a_minute_for_an_engine_that_does_not_answer() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded()
    engine.is_silent = True
    await world.delete()
    for _ in range(5):
        await world.settle()
        world.advance(11)
    assert world.names(ADAPTERS) == ["demo"]
    assert world.condition("Loaded") == ("Unknown", "Unloading")
    world.advance(11)
    await world.settle()
    assert world.names(ADAPTERS) == []


async def test_deletion_does_not_wait_for_a_pod_that_is_gone() -> None:
    world = AdapterWorld()
    world.start_engine()
    await world.loaded()
    await world.kill_engine()
    await world.delete()
    await world.settle()
    assert world.names(ADAPTERS) == []


async def test_one_that_was_renamed_is_unloaded_under_its_old_name_before_it_goes() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded()
    world.advance(1000)
    await world.edit(servedName="renamed")
    await world.settle()
    assert engine.adapters == {"demo": served()}, "the new name waits for a verification"
    await world.delete()
    await world.settle()
    assert (engine.adapters, world.names(ADAPTERS)) == ({}, [])


async def test_one_that_is_deleted_while_an_engine_loads_it_is_unloaded_before_it_goes() -> None:
    world = AdapterWorld()
    engine = world.start_engine(gate=asyncio.Event())
    await world.create(serving={"load": True})
    await world.settle()
    world.examined(report())
    for _ in range(2):  # the finalizer comes first
        await world.controller.look(Look("Adapter", NAMESPACE, "demo"))
    loading = asyncio.create_task(world.controller.look(Look("Engines", NAMESPACE)))

    async def is_asked() -> bool:
        return bool(engine.changes)

    await eventually(is_asked, "the engine is asked to load it", within_seconds=5, every_seconds=0.01)
    await world.delete()
    await world.controller.look(Look("Adapter", NAMESPACE, "demo"))
    assert world.names(ADAPTERS) == ["demo"]
    assert engine.gate is not None
    engine.gate.set()
    await loading
    await world.settle()
    assert (engine.adapters, world.names(ADAPTERS)) == ({}, [])
