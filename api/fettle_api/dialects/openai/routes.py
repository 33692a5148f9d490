"""OpenAI's fine-tuning API over HTTP: the table of contents."""

from fastapi import APIRouter

from fettle_api.dialects.dialect import Dialect
from fettle_api.dialects.openai.chat_routes import add_chat
from fettle_api.dialects.openai.file_routes import add_files
from fettle_api.dialects.openai.job_routes import add_changes, add_history, add_jobs
from fettle_api.dialects.openai.model_routes import add_models
from fettle_api.dialects.openai.refusals import render_error
from fettle_api.dialects.openai.translate import NAME
from fettle_api.dialects.openai.wire_answers import ErrorAnswer
from fettle_api.service import Service
from fettle_api.settings import ApiSettings


def build_router(service: Service, settings: ApiSettings) -> APIRouter:
    """All routes of this API."""
    router = APIRouter()
    add_files(router, service, settings)
    add_jobs(router, service, settings)
    add_changes(router, service, settings)
    add_history(router, service)
    add_models(router, service, settings)
    add_chat(router, service, settings)
    return router


OPENAI = Dialect(NAME, build_router, render_error, ErrorAnswer, "OpenAI's fine-tuning API", prefix="/v1")
