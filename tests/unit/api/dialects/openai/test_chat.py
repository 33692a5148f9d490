"""OpenAI's own client talks to an adapter, under the name that its fine-tuning job gave the model."""

from typing import Any

import openai
import pytest

from fettle_client.protocol import ADAPTERS, CONFIG_MAPS
from tests.support.engine_stand_in import EngineStandIn
from tests.support.openai_caller import OpenAIWorld
from tests.support.polling import eventually

MODEL = "ft:gpt-4o-mini::helper:0123456789abcdef"
MESSAGES: Any = [{"role": "user", "content": "hi"}]


@pytest.fixture
async def adapter(world: OpenAIWorld) -> str:
    """An adapter that a job of this API made, and that is to be loaded."""
    (world.facade.root / "adapters/helper/1").mkdir(parents=True)
    spec = {"baseModel": {"id": "a/b"}, "source": {"trainingJob": "ftjob-0123456789abcdef"}, "serving": {"load": True}}
    metadata = {"name": "helper", "namespace": "default"}
    manifest = {"metadata": metadata, "spec": spec, "status": {"path": "adapters/helper/1"}}
    world.facade.client.seed(ADAPTERS, manifest)
    await eventually(lambda: listed(world), "the facade has seen the adapter")
    return "helper"


async def listed(world: OpenAIWorld) -> bool:
    return any([model.owned_by != "system" async for model in world.caller.models.list()])


async def test_a_fine_tuned_model_answers(world: OpenAIWorld, engine: EngineStandIn, adapter: str) -> None:
    answer = await world.caller.chat.completions.create(model=MODEL, messages=MESSAGES, temperature=0.5)
    assert answer.choices[0].message.content == "Hello"
    _, body = engine.calls[-1]
    assert (body["model"], body["temperature"], body["messages"]) == (adapter, 0.5, MESSAGES)


async def test_pieces_come_as_they_are_made(world: OpenAIWorld, engine: EngineStandIn, adapter: str) -> None:
    stream = await world.caller.chat.completions.create(model=adapter, messages=MESSAGES, stream=True)
    pieces = []
    async for chunk in stream:
        pieces.append(chunk.choices[0].delta.content)
        engine.go_on.set()
    assert pieces == ["Hel", "lo"]


async def test_the_engines_refusal_has_its_words(world: OpenAIWorld, adapter: str) -> None:
    with pytest.raises(openai.BadRequestError, match="temperature must be at least 0"):
        await world.caller.chat.completions.create(model=adapter, messages=MESSAGES, temperature=-1)


async def test_an_adapter_that_is_not_loaded_says_how_to_load_it(
    world: OpenAIWorld, engine: EngineStandIn, adapter: str
) -> None:
    await world.facade.client.patch(ADAPTERS, adapter, "default", {"spec": {"serving": {"load": False}}})

    async def is_refused() -> bool:
        try:
            await world.caller.chat.completions.create(model=adapter, messages=MESSAGES)
        except openai.BadRequestError as error:
            return error.code == "model_not_loaded" and f"kubectl patch adapter {adapter}" in error.message
        engine.adapters.clear()  # the facade had not seen the change
        return False

    await eventually(is_refused, "the facade has seen the change")


@pytest.mark.parametrize("model", ["gpt-4o-mini", "unknown", MODEL])
async def test_models_that_do_not_answer_here(world: OpenAIWorld, model: str) -> None:
    with pytest.raises(openai.NotFoundError) as missing:
        await world.caller.chat.completions.create(model=model, messages=MESSAGES)
    assert missing.value.code == "model_not_found"


@pytest.mark.parametrize(
    ("body", "param"),
    [({"messages": MESSAGES}, "model"), ({"model": "m"}, "messages"), ({"model": "m", "messages": []}, "messages")],
)
async def test_bodies_that_are_no_conversation(world: OpenAIWorld, body: dict[str, Any], param: str) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        await world.caller.post("/chat/completions", body=body, cast_to=object)
    assert refused.value.param == param


async def test_a_model_that_is_deleted_is_unloaded(world: OpenAIWorld, engine: EngineStandIn, adapter: str) -> None:
    await world.caller.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert adapter in engine.adapters
    assert (await world.caller.models.delete(MODEL)).deleted
    assert engine.adapters == {}
    assert world.facade.client.items(ADAPTERS) == []


async def test_active_is_whichever_adapter_one_patch_has_made_it(
    world: OpenAIWorld, engine: EngineStandIn, adapter: str
) -> None:
    with pytest.raises(openai.NotFoundError):
        await world.caller.chat.completions.create(model="active", messages=MESSAGES)
    config_map = {"metadata": {"name": "fettle-serving", "namespace": "default"}, "data": {"current-adapter": adapter}}
    world.facade.client.seed(CONFIG_MAPS, config_map)
    answer = await world.caller.chat.completions.create(model="active", messages=MESSAGES)
    assert answer.choices[0].message.content == "Hello"
    assert engine.calls[-1][1]["model"] == adapter
