"""Chat completions: an adapter that is loaded answers, under the name of its fine-tuned model."""

from fastapi import APIRouter, Request
from starlette.responses import Response

from fettle_api.adapters.views import AdapterView
from fettle_api.dialects.chat import relay_chat
from fettle_api.dialects.openai.lookups import find_adapter
from fettle_api.dialects.openai.refusals import in_words_of_openai, no_such_model, refusal
from fettle_api.dialects.openai.wire import ChatBody, parse_chat
from fettle_api.dialects.openai.wire_answers import ChatAnswer
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import read_object
from fettle_api.web.documentation import documented

ACTIVE = "active"
"""The model's name that means the namespace's active adapter: `current-adapter` of the ConfigMap `fettle-serving`."""
_STATUSES = (400, 404, 429, 502)


def add_chat(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """The one route that asks the engine for answers."""

    @router.post("/chat/completions", **documented({200: ChatAnswer}, _STATUSES, body=ChatBody))
    async def chat(request: Request) -> Response:
        """Answer a conversation, with server-sent events if `stream` is set."""
        with in_words_of_openai():
            body = await read_object(request, settings.max_body_bytes)
            adapter = await _loaded_adapter(service, parse_chat(body).model)
        return await relay_chat(service.serving, adapter, body, _STATUSES, refusal)


async def _loaded_adapter(service: Service, model: str) -> AdapterView:
    adapter = await find_adapter(service, model)
    if adapter is None and model == ACTIVE:
        adapter = await service.serving.current()
    if adapter is None:
        raise no_such_model(model)
    if not adapter.spec.serving.load and adapter.name not in await service.serving.loaded():
        change = f"""kubectl patch adapter {adapter.name} --type merge -p '{{"spec":{{"serving":{{"load":true}}}}}}'"""
        raise refusal(
            400, f"The model '{model[:128]}' is not loaded. To load it: {change}", "model", "model_not_loaded"
        )
    return adapter
