"""Adapters in engines: loaded, swapped, unloaded, and what their status says of it."""

from pathlib import Path

import pytest

from fettle_client.protocol import ADAPTERS, JOBS, ApiError
from fettle_operator.adapters.controller import Look
from fettle_schema.names import ENGINE_LABELS
from tests.support.adapter_world import DIGEST, NAMESPACE, OTHER_DIGEST, AdapterWorld, report, served


async def swapped(world: AdapterWorld) -> None:
    """Another version of `demo` is there and examined."""
    await world.edit(source={"workspace": {"path": "uploads/second"}})
    await world.settle()
    world.examined(report(digest=OTHER_DIGEST))
    world.advance(2)
    await world.settle()


async def test_it_is_loaded_into_every_ready_engine() -> None:
    world = AdapterWorld()
    first, second = world.start_engine("engine-0"), world.start_engine("engine-1")
    await world.loaded(servedName="helper")
    assert first.adapters == second.adapters == {"helper": served()}
    status = world.status()
    assert (status["readyPods"], world.condition("Loaded")) == ("2/2", ("True", "Loaded"))
    assert [(one["pod"], one["path"]) for one in status["instances"]] == [
        ("engine-0", served()),
        ("engine-1", served()),
    ]
    assert all(one["loadedAt"] == world.stamp() for one in status["instances"])
    assert world.has_finalizer()


async def test_nothing_is_loaded_before_its_files_were_verified() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.create(serving={"load": True})
    await world.settle()
    assert (engine.changes, world.phase(), world.has_finalizer()) == ([], "Pending", False)
    world.examined({"problem": {"reason": "DigestMismatch", "message": "changed"}})
    await world.settle()
    assert (engine.changes, world.phase(), world.has_finalizer()) == ([], "Failed", False)


async def test_whenever_loading_is_asked_for_the_files_are_read_again() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.ready()
    await world.edit(serving={"load": True})
    await world.settle()
    assert (engine.changes, world.phase()) == ([], "Loading")
    world.examined({"problem": {"reason": "DigestMismatch", "message": "somebody changed it"}})
    await world.settle()
    assert (engine.changes, world.phase()) == ([], "Failed")
    assert world.status()["message"] == "somebody changed it"


async def test_an_engine_that_comes_later_gets_what_is_verified_once_more() -> None:
    world = AdapterWorld()
    world.start_engine("engine-0")
    await world.loaded()
    world.advance(1000)
    late = world.start_engine("engine-1", is_ready=False)
    await world.settle()
    assert world.names(JOBS), "the files are verified while the engine starts"
    assert world.phase() == "Loaded", "an engine that is not ready counts for nothing"
    world.start_engine("engine-1")
    await world.settle()
    assert (late.adapters, world.phase(), world.status()["readyPods"]) == ({}, "Loading", "1/2")
    world.examined(report())
    await world.settle()
    assert (late.adapters, world.phase()) == ({"demo": served()}, "Loaded")
    assert world.names(JOBS) == []


async def test_a_file_that_was_changed_after_loading_is_never_loaded_again() -> None:
    world = AdapterWorld()
    kept = world.start_engine("engine-0")
    await world.loaded()
    world.advance(1000)
    late = world.start_engine("engine-1")
    await world.settle()
    world.examined({"problem": {"reason": "DigestMismatch", "message": "changed"}})
    await world.settle()
    assert (kept.adapters, late.adapters) == ({"demo": served()}, {})
    assert world.phase() == "Failed"


async def test_dead_pods_are_forgotten_and_new_ones_are_served() -> None:
    world = AdapterWorld()
    world.start_engine("engine-0"), world.start_engine("engine-1")
    await world.loaded()
    await world.kill_engine("engine-0")
    await world.settle()
    assert ([one["pod"] for one in world.status()["instances"]], world.phase()) == (["engine-1"], "Loaded")
    new = world.start_engine("engine-2")
    await world.settle()
    assert (new.adapters, world.status()["readyPods"]) == ({"demo": served()}, "2/2")


async def test_an_engine_that_has_forgotten_gets_it_again() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded()
    engine.adapters.clear()
    await world.settle()
    assert engine.adapters == {"demo": served()}


async def test_a_new_version_is_put_in_place_of_the_old_one() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded()
    await swapped(world)
    assert engine.changes == [("load", "demo", served()), ("replace", "demo", served(digest=OTHER_DIGEST))]
    assert (world.phase(), world.status()["instances"][0]["path"]) == ("Loaded", served(digest=OTHER_DIGEST))


async def test_the_old_version_stays_while_the_new_one_is_not_verified_or_wrong() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded()
    await world.edit(source={"workspace": {"path": "uploads/second"}})
    await world.settle()
    assert engine.adapters == {"demo": served()}
    world.examined({"problem": {"reason": "FilesInvalid", "message": "no adapter"}})
    await world.settle()
    assert (engine.adapters, world.phase()) == ({"demo": served()}, "Failed")


async def test_the_words_of_an_engine_that_refuses_stand_in_the_status() -> None:
    world = AdapterWorld()
    world.start_engine("engine-0"), world.start_engine("engine-1", refusal="LoRA rank 8 is greater than 4")
    await world.ready(serving={"load": True})
    status = world.status()
    assert (world.phase(), world.condition("Loaded")) == ("Degraded", ("False", "EngineRefused"))
    assert status["instances"][1]["error"] == "LoRA rank 8 is greater than 4"
    assert status["readyPods"] == "1/2"
    assert "LoRA rank 8 is greater than 4" in status["message"]


async def test_one_adapter_that_an_engine_fails_to_load_is_no_trouble_of_others() -> None:
    world = AdapterWorld()
    engine = world.start_engine(failing={"bad"})
    await world.ready("bad", serving={"load": True})
    await world.loaded("good")
    assert world.condition("Loaded", "bad") == ("False", "EngineRefused")
    assert "bad cannot be loaded" in world.status("bad")["instances"][0]["error"]
    await world.edit("good", serving={"load": False})
    await world.settle()
    assert (engine.adapters, world.phase("good")) == ({}, "Available")


async def test_an_engine_that_refuses_is_asked_less_and_less_often() -> None:
    world = AdapterWorld()
    engine = world.start_engine(refusal="no")
    await world.ready(serving={"load": True})
    for _ in range(70):
        await world.settle()
        world.advance(4)
    assert 6 <= len(engine.changes) <= 12
    engine.refusal = None
    world.advance(61)
    await world.settle()
    if world.names(JOBS):
        world.examined(report())
        await world.settle()
    assert world.phase() == "Loaded"


async def test_an_engine_that_does_not_answer_is_told_and_left_alone() -> None:
    world = AdapterWorld()
    engine = world.start_engine(is_silent=True)
    await world.ready(serving={"load": True})
    assert (world.phase(), world.condition("Loaded")) == ("Degraded", ("False", "EngineUnreachable"))
    assert "cannot be reached" in world.status()["instances"][0]["error"]
    engine.is_silent = False
    world.advance(61)
    await world.settle()
    assert (world.phase(), engine.adapters) == ("Loading", {}), "the files are read again after so long"
    world.examined(report())
    await world.settle()
    assert world.phase() == "Loaded"
    assert "error" not in world.status()["instances"][0]


async def test_what_an_engine_had_before_it_fell_silent_is_not_believed() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded()
    engine.is_silent = True
    world.advance(5)
    await world.settle()
    assert (world.condition("Loaded"), world.status()["readyPods"]) == (("False", "EngineUnreachable"), "0/1")
    engine.is_silent = False
    world.advance(5)
    await world.settle()
    assert (world.phase(), len(engine.changes)) == ("Loaded", 1)


async def test_without_engines_it_says_what_it_looks_for() -> None:
    world = AdapterWorld()
    await world.ready(serving={"load": True})
    assert (world.phase(), world.condition("Loaded")) == ("Loading", ("Unknown", "NoEngines"))
    assert "fettle.dev/engine" in world.status()["message"]


async def test_a_served_name_stays_with_the_older_adapter() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded("older", servedName="helper")
    world.advance(10)
    await world.ready("younger", servedName="helper", serving={"load": True})
    assert engine.adapters == {"helper": served("older")}
    assert (world.phase("older"), world.phase("younger")) == ("Loaded", "Degraded")
    assert world.condition("Loaded", "younger") == ("False", "NameTaken")
    assert "'older'" in world.status("younger")["message"]
    await world.delete("older")
    await world.settle()
    assert engine.adapters == {"helper": served("younger")}
    assert world.phase("younger") == "Loaded"


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ({"compatibility": {"reason": "NotServable", "message": "use_dora is set"}}, "NotServable"),
        ({"compatibility": {"reason": "NotServable", "message": "peft_type 'IA3'"}}, "NotServable"),
        ({"rank": 128}, "RankTooHigh"),
    ],
)
async def test_what_an_engine_cannot_serve_is_not_even_asked_for(found: dict[str, object], reason: str) -> None:
    world = AdapterWorld(engine_max_lora_rank=64)
    engine = world.start_engine()
    await world.create(serving={"load": True})
    await world.settle()
    world.examined(report(**found))
    await world.settle()
    assert engine.changes == []
    assert (world.phase(), world.condition("Loaded")) == ("Degraded", ("False", reason))


async def test_an_engine_of_another_base_model_is_not_asked() -> None:
    world = AdapterWorld()
    engine = world.start_engine(base={"id": "large", "root": "/workspace/models/large", "parent": None})
    await world.ready(serving={"load": True})
    assert (engine.changes, world.condition("Loaded")) == ([], ("False", "BaseModelMismatch"))
    assert "models/large" in world.status()["message"]


async def test_a_new_served_name_replaces_the_old_one() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded(servedName="before")
    await world.edit(servedName="after")
    await world.settle()
    assert (engine.adapters, world.phase()) == ({"after": served()}, "Loaded")
    await world.delete()
    await world.settle()
    assert engine.adapters == {}


async def test_an_adapter_that_cannot_be_read_does_not_keep_others_from_engines() -> None:
    world = AdapterWorld()
    world.client.seed(ADAPTERS, {"metadata": {"name": "newer", "namespace": NAMESPACE}, "spec": {"unheard": "of"}})
    engine = world.start_engine()
    await world.create(serving={"load": True})
    for _ in range(2):
        for look in (
            Look("Adapter", NAMESPACE, "demo"),
            Look("Engines", NAMESPACE),
            Look("Adapter", NAMESPACE, "demo"),
        ):
            await world.controller.look(look)
        if world.names(JOBS):
            world.examined(report())
            for _ in range(4):
                await world.controller.look(Look("Adapter", NAMESPACE, "demo"))
    assert engine.adapters == {"demo": served()}


async def test_only_pods_that_the_selector_means_are_engines() -> None:
    world = AdapterWorld()
    labels = {"app": "vllm"}
    other, own = world.start_engine("engine-0"), world.start_engine("engine-1", labels=labels)
    await world.ready(serving={"load": True, "selector": {"matchLabels": labels}})
    assert (other.adapters, own.adapters) == ({}, {"demo": served()})
    await world.edit(serving={"selector": {"matchLabels": {"app": None, **ENGINE_LABELS}}})
    await world.settle()
    assert (other.adapters, own.adapters) == ({"demo": served()}, {})


async def test_the_key_of_the_namespace_opens_the_engine_and_a_missing_one_is_told(tmp_path: Path) -> None:
    world = AdapterWorld(engine_keys_directory=tmp_path)
    engine = world.start_engine()
    (tmp_path / "other.team").write_text("of another namespace")
    await world.ready(serving={"load": True, "apiKeyName": "team"})
    assert (engine.changes, world.condition("Loaded")) == ([], ("False", "KeyMissing"))
    assert "'default.team'" in world.status()["message"]
    (tmp_path / "default.team").write_text("secret-key\n")
    await world.settle()
    assert (world.phase(), "secret-key" in engine.keys) == ("Loaded", True)
    assert "secret-key" not in str(world.client.items(ADAPTERS))


async def test_what_no_adapter_accounts_for_is_left_alone() -> None:
    world = AdapterWorld()
    engine = world.start_engine(adapters={"somebodys": "/models/other"})
    await world.loaded()
    await world.delete()
    await world.settle()
    assert engine.adapters == {"somebodys": "/models/other"}


async def test_a_new_operator_finds_out_what_engines_have() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded()
    world.new_controller()
    await world.controller.look(Look("Adapter", NAMESPACE, "demo"))
    assert world.phase() == "Loaded", "what is not known yet is not unsaid"
    await world.settle()
    assert engine.changes == [("load", "demo", served())]
    await world.delete()
    world.new_controller()
    await world.settle()
    assert (engine.adapters, world.names(ADAPTERS)) == ({}, [])


async def test_the_finalizer_is_there_before_the_first_engine_is_asked() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.ready()
    world.client.fail_next("replace", ApiError(503, "Unavailable", "no"), ADAPTERS, times=2)
    await world.edit(serving={"load": True})
    await world.settle()
    world.examined(report())
    for _ in range(2):
        with pytest.raises(ApiError):
            await world.settle()
    assert engine.changes == []
    await world.settle()
    assert (engine.adapters, world.has_finalizer()) == ({"demo": served()}, True)


async def test_one_machine_says_that_it_loads_nothing() -> None:
    world = AdapterWorld(loads_adapters=False)
    await world.ready()
    await world.edit(serving={"load": True})
    await world.settle()
    assert (world.phase(), world.condition("Loaded")) == ("Available", ("Unknown", "NotManaged"))
    assert not world.has_finalizer()
    await world.delete()
    assert world.names(ADAPTERS) == []


async def test_two_operators_at_once_do_no_harm() -> None:
    world = AdapterWorld()
    engine = world.start_engine()
    await world.loaded()
    first = world.controller
    world.new_controller()
    await world.settle()
    world.controller = first
    await world.settle()
    assert engine.changes == [("load", "demo", served())]
    assert world.status()["digest"] == DIGEST
