"""Models: list, get, delete."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.openai.lookups import find_adapter, find_model, list_of_models
from fettle_api.dialects.openai.refusals import no_such_model, refusal
from fettle_api.dialects.openai.wire_answers import DeletedModelAnswer, ModelAnswer, ModelsAnswer
from fettle_api.errors import AdapterNotFoundError
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.documentation import documented

_PATH = "/models"
_ONE = f"{_PATH}/{{model:path}}"


def add_models(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """All routes below /models."""

    aliases, namespace = frozenset(settings.model_aliases), settings.namespace

    @router.get(_PATH, **documented({200: ModelsAnswer}))
    async def list_models() -> Response:
        """Base models that the installation names or has, and what was trained here."""
        return JSONResponse({"object": "list", "data": await list_of_models(service, aliases, namespace)})

    @router.get(_ONE, **documented({200: ModelAnswer}, (404,)))
    async def get_model(model: str) -> Response:
        """One model."""
        return JSONResponse(await find_model(service, model, aliases, namespace))

    @router.delete(_ONE, **documented({200: DeletedModelAnswer}, (400, 404, 502)))
    async def delete_model(model: str) -> Response:
        """Delete a fine-tuned model with its files; one that is loaded is unloaded first."""
        adapter = None if model in aliases else await find_adapter(service, model)
        if adapter is None:
            await find_model(service, model, aliases, namespace)
            raise refusal(400, f"The model '{model[:128]}' is no adapter; it cannot be deleted here", "model")
        try:
            await service.serving.delete(adapter.name)
        except AdapterNotFoundError:
            raise no_such_model(model) from None
        return JSONResponse({"object": "model", "id": model, "deleted": True})
