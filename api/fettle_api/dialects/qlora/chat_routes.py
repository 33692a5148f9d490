"""`POST /v1/chat/completions`: the loaded adapter answers, in OpenAI's shape."""

from fastapi import APIRouter, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response

from fettle_api.dialects.chat import relay_chat
from fettle_api.dialects.qlora.refusals import about_adapter, in_words_of_qlora
from fettle_api.dialects.qlora.wire_answers import ChatAnswer, ChatRequest
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_object
from fettle_api.web.documentation import documented

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
        with about_adapter(adapter.name, "load"):
            return await relay_chat(service.serving, adapter, body, _STATUSES, HTTPException)
