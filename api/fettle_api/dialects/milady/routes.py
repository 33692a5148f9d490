"""Milady's agent training API over HTTP and WebSocket: the table of contents."""

from fastapi import APIRouter

from fettle_api.dialects.dialect import Dialect
from fettle_api.dialects.milady.job_routes import add_jobs
from fettle_api.dialects.milady.model_routes import add_activation, add_benchmark, add_import, add_models
from fettle_api.dialects.milady.refusals import render_error
from fettle_api.dialects.milady.socket_routes import add_socket
from fettle_api.dialects.milady.trajectory_routes import add_datasets, add_status, add_trajectories
from fettle_api.dialects.milady.translate import NAME
from fettle_api.dialects.milady.wire_answers import ErrorAnswer
from fettle_api.service import Service
from fettle_api.settings import ApiSettings


def build_router(service: Service, settings: ApiSettings) -> APIRouter:
    """All routes of this API."""
    router = APIRouter()
    add_status(router, service, settings)
    add_trajectories(router, service)
    add_datasets(router, service, settings)
    add_jobs(router, service, settings)
    add_models(router, service)
    add_import(router, service, settings)
    add_activation(router, service, settings)
    add_benchmark(router, service)
    add_socket(router, service, settings)
    return router


MILADY = Dialect(NAME, build_router, render_error, ErrorAnswer, "Milady training API")
