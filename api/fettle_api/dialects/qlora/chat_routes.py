"""`POST /v1/chat/completions`: the loaded adapter answers, in OpenAI's shape."""

from contextlib import AsyncExitStack

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fettle_api.adapters.engine import EngineAnswer, words_of
from fettle_api.dialects.qlora.refusals import about_adapter, in_words_of_qlora
from fettle_api.dialects.qlora.wire_answers import ChatAnswer, ChatRequest
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_object
from fettle_api.web.documentation import documented
from fettle_api.web.relays import RelayedStream

_STATUSES = (400, 404, 413, 429, 502)


def add_chat(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """The one route that asks the engine for answers."""

    @router.post("/v1/chat/completions", **documented({200: ChatAnswer}, _STATUSES, body=ChatRequest))
    async def chat(request: Request) -> Response:
        """Answer a conversation."""
        with in_words_of_qlora():
            body = await read_object(request, settings.max_body_bytes)
        if not isinstance(body.get("messages"), list) or not body["messages"]:
            raise HTTPException(400, "messages is required and must be a list that is not empty")
        adapter = await service.serving.current()
        if adapter is None:
            raise HTTPException(400, "No adapter currently loaded")
        async with AsyncExitStack() as stack:
            with about_adapter(adapter.name, "load"):
                answer = await stack.enter_async_context(service.serving.chat(adapter, body))
            if answer.status != 200:
                raise await _refusal(answer)
            if answer.media_type == "text/event-stream":
                return RelayedStream(answer.chunks(), answer.media_type, stack.pop_all())
            return Response(await answer.content(), media_type="application/json")


async def _refusal(answer: EngineAnswer) -> HTTPException:
    """The engine's words; a status that this API does not have becomes the nearest."""
    words = words_of(await answer.content()) or f"the serving engine answers {answer.status}"
    if answer.status >= 500:
        return HTTPException(503 if answer.status == 503 else 502, words)
    return HTTPException(answer.status if answer.status in _STATUSES else 400, words)
