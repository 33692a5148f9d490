"""Merlina's training API over HTTP: the table of contents."""

from fastapi import APIRouter

from fettle_api.dialects.dialect import Dialect
from fettle_api.dialects.merlina.config_routes import add_configurations
from fettle_api.dialects.merlina.dataset_routes import add_models, add_previews, add_uploads
from fettle_api.dialects.merlina.job_routes import add_endings, add_jobs, add_submission
from fettle_api.dialects.merlina.overview_routes import add_gpus, add_overview
from fettle_api.dialects.merlina.refusals import render_error
from fettle_api.dialects.merlina.socket_routes import add_socket
from fettle_api.dialects.merlina.translate import NAME
from fettle_api.dialects.merlina.wire_answers import ErrorAnswer
from fettle_api.service import Service
from fettle_api.settings import ApiSettings


def build_router(service: Service, settings: ApiSettings) -> APIRouter:
    """All routes of this API."""
    router = APIRouter()
    add_overview(router, service, settings)
    add_submission(router, service, settings)
    add_jobs(router, service)
    add_endings(router, service)
    add_gpus(router, service)
    add_previews(router, service, settings)
    add_uploads(router, service, settings)
    add_models(router, service, settings)
    add_configurations(router, service, settings)
    add_socket(router, service)
    return router


MERLINA = Dialect(
    NAME,
    build_router,
    render_error,
    ErrorAnswer,
    "Merlina training API",
    page_paths=("/api/docs", "/api/redoc"),
)
