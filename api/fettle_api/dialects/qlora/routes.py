"""LocalAIServer's API over HTTP: the table of contents."""

from fastapi import APIRouter
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.dialect import Dialect
from fettle_api.dialects.qlora.adapter_routes import add_adapters
from fettle_api.dialects.qlora.chat_routes import add_chat
from fettle_api.dialects.qlora.refusals import render_error
from fettle_api.dialects.qlora.training_routes import add_training
from fettle_api.dialects.qlora.translate import NAME
from fettle_api.dialects.qlora.wire_answers import ErrorAnswer, HealthAnswer
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.documentation import documented
from fettle_schema.base import VERSION


def build_router(service: Service, settings: ApiSettings) -> APIRouter:
    """All routes of this API."""
    router = APIRouter()

    @router.get("/health", **documented({200: HealthAnswer}))
    async def health() -> Response:
        """Whether the server is there."""
        return JSONResponse({"status": "healthy", "version": VERSION})

    add_training(router, service, settings)
    add_adapters(router, service)
    add_chat(router, service, settings)
    return router


QLORA = Dialect(NAME, build_router, render_error, ErrorAnswer, "LocalAIServer training and adapter API")
