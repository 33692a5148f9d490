"""Chat completions: an adapter that is loaded answers, under the name of its fine-tuned model."""

from contextlib import AsyncExitStack

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fettle_api.adapters.engine import EngineAnswer, words_of
from fettle_api.adapters.views import AdapterView
from fettle_api.dialects.openai.lookups import find_adapter
from fettle_api.dialects.openai.refusals import in_words_of_openai, no_such_model, refusal
from fettle_api.dialects.openai.wire import ChatBody, parse_chat
from fettle_api.dialects.openai.wire_answers import ChatAnswer
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_object
from fettle_api.web.documentation import documented
from fettle_api.web.relays import RelayedStream

_STATUSES = (400, 404, 429, 502)


def add_chat(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """The one route that asks the engine for answers."""

    @router.post("/chat/completions", **documented({200: ChatAnswer}, _STATUSES, body=ChatBody))
    async def chat(request: Request) -> Response:
        """Answer a conversation, with server-sent events if `stream` is set."""
        with in_words_of_openai():
            body = await read_object(request, settings.max_body_bytes)
            adapter = await _loaded_adapter(service, parse_chat(body).model)
        async with AsyncExitStack() as stack:
            answer = await stack.enter_async_context(service.serving.chat(adapter, body))
            if answer.status != 200:
                raise await _refusal(answer)
            if answer.media_type == "text/event-stream":
                return RelayedStream(answer.chunks(), answer.media_type, stack.pop_all())
            return Response(await answer.content(), media_type="application/json")


async def _loaded_adapter(service: Service, model: str) -> AdapterView:
    adapter = await find_adapter(service, model)
    if adapter is None:
        raise no_such_model(model)
    if not adapter.spec.serving.load and adapter.name not in await service.serving.loaded():
        change = f"""kubectl patch adapter {adapter.name} --type merge -p '{{"spec":{{"serving":{{"load":true}}}}}}'"""
        raise refusal(
            400, f"The model '{model[:128]}' is not loaded. To load it: {change}", "model", "model_not_loaded"
        )
    return adapter


async def _refusal(answer: EngineAnswer) -> HTTPException:
    """The engine's words; a status that this API does not have becomes the nearest."""
    words = words_of(await answer.content()) or f"the serving engine answers {answer.status}"
    if answer.status >= 500:
        return refusal(503 if answer.status == 503 else 502, words)
    return refusal(answer.status if answer.status in _STATUSES else 400, words)
