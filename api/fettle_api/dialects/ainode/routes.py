"""AINode's training API over HTTP: the table of contents."""

from fastapi import APIRouter

from fettle_api.dialects.ainode.dataset_routes import add_datasets
from fettle_api.dialects.ainode.job_routes import add_jobs, add_merge, add_resume
from fettle_api.dialects.ainode.refusals import render_error
from fettle_api.dialects.ainode.result_routes import add_results
from fettle_api.dialects.ainode.template_routes import add_overview, add_templates
from fettle_api.dialects.ainode.translate import NAME
from fettle_api.dialects.ainode.wire_answers import ErrorAnswer
from fettle_api.dialects.dialect import Dialect
from fettle_api.service import Service
from fettle_api.settings import ApiSettings


def build_router(service: Service, settings: ApiSettings) -> APIRouter:
    """All routes of this API."""
    router = APIRouter()
    add_jobs(router, service, settings)
    add_results(router, service)
    add_merge(router, service, settings)
    add_resume(router, service, settings)
    add_templates(router, service, settings)
    add_overview(router, service, settings)
    add_datasets(router, service, settings)
    return router


AINODE = Dialect(NAME, build_router, render_error, ErrorAnswer, "AINode training API")
