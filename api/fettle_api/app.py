"""The facade put together: the main application with every dialect below its prefix, and one for each port."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path

from fastapi import FastAPI, Response
from starlette.responses import JSONResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from fettle_api.adapters.registry import Adapters
from fettle_api.dialects.ainode.routes import AINODE
from fettle_api.dialects.cluster.routes import CLUSTER
from fettle_api.dialects.dialect import Dialect
from fettle_api.dialects.merlina.routes import MERLINA
from fettle_api.dialects.milady.routes import MILADY
from fettle_api.dialects.openai.routes import OPENAI
from fettle_api.dialects.qlora.routes import QLORA
from fettle_api.gpus import Gpus, UnknownGpus
from fettle_api.identity.auth import Authenticator, build_authenticator
from fettle_api.identity.token_reviews import PodTokens
from fettle_api.jobs.logs import LogSource
from fettle_api.progress.metrics import CountReports, ReceiverMetrics
from fettle_api.progress.receiver import build_receiver
from fettle_api.progress.reports import Reports
from fettle_api.resources.store import Store
from fettle_api.service import Service, build_service
from fettle_api.settings import ApiSettings
from fettle_api.web.access_log import AccessLog
from fettle_api.web.documentation import add_documentation
from fettle_api.web.guards import Guard, render_errors
from fettle_api.webhooks.sender import WebhookSender, build_sender
from fettle_client.protocol import ResourceClient
from fettle_schema.base import VERSION

DIALECTS = (AINODE, CLUSTER, MERLINA, MILADY, OPENAI, QLORA)


def create_app(
    settings: ApiSettings,
    client: ResourceClient,
    workspace: Path,
    logs: LogSource,
    clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    gpus: Gpus | None = None,
) -> FastAPI:
    """The main application. `app.state.ports` holds, by dialect, what belongs on a port of its own;
    `app.state.store` is what all of them read through.

    Its lifespan runs the watch that all of them read from.
    """
    store = Store(client, settings.namespace, settings.cache_timeout_seconds)
    metrics = ReceiverMetrics()
    reports = Reports(store, settings.progress_interval_seconds, on_write=metrics.count_write)
    service = build_service(settings, client, store, workspace, logs, clock, gpus or UnknownGpus())
    reports.subscribe(service.live.wake)

    webhooks = build_sender(settings, client, store, service.outbound, workspace, clock)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store.start()
        service.adapters.start()
        webhooks.start()
        yield
        await webhooks.stop()
        await service.live.stop()
        await service.benchmarks.stop()
        await service.ollama_imports.stop()
        await reports.stop()
        await service.adapters.stop()
        await store.stop()

    app = _application(lifespan)
    render_errors(app, _render)
    app.add_middleware(CountReports, metrics=metrics)
    app.add_middleware(AccessLog)
    _add_health(app, store, service.adapters, webhooks)
    _add_metrics(app, metrics)
    app.include_router(build_receiver(store, PodTokens(client, settings.namespace), reports))
    authenticator = build_authenticator(settings, client)
    ports: dict[str, ASGIApp] = {}
    for dialect in DIALECTS:
        application = _OnDemand(partial(_dialect_application, dialect, service, settings, authenticator))
        app.router.routes.append(_WholeMount(dialect.mount_path, application))
        if dialect.prefix is None:
            ports[dialect.name] = AccessLog(application)
    app.state.ports, app.state.store, app.state.adapters = ports, store, service.adapters
    return app


class _OnDemand:
    """An application that is put together when it is first called: most installations use one or two of six."""

    def __init__(self, build: Callable[[], FastAPI]) -> None:
        self._build = build

    @cached_property
    def application(self) -> FastAPI:
        """The application, built once."""
        return self._build()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self.application(scope, receive, send)


class _WholeMount(Mount):
    """Everything below a prefix: the framework's own pattern leaves out paths that hold a line feed."""

    def __init__(self, path: str, app: ASGIApp) -> None:
        super().__init__(path, app)
        self.path_regex = re.compile(self.path_regex.pattern, re.DOTALL)


def _dialect_application(
    dialect: Dialect, service: Service, settings: ApiSettings, authenticator: Authenticator
) -> FastAPI:
    application = _application()
    router = dialect.build_router(service, settings)
    application.include_router(router)
    add_documentation(
        application, dialect.title, VERSION, dialect.error_model, dialect.openapi_path, dialect.page_paths
    )
    application.add_middleware(Guard, authenticator=authenticator, render=dialect.render_error, routes=router.routes)
    render_errors(application, dialect.render_error)
    return application


def _application(lifespan: Callable[[FastAPI], object] | None = None) -> FastAPI:
    return FastAPI(
        lifespan=lifespan,  # type: ignore[arg-type]  # FastAPI's own type is generic over itself
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )


def _add_health(app: FastAPI, store: Store, adapters: Adapters, webhooks: WebhookSender) -> None:
    def is_alive() -> bool:
        return store.is_alive and adapters.is_alive and webhooks.is_alive

    @app.get("/healthz")
    async def healthz(response: Response) -> dict[str, str]:
        response.status_code = 200 if is_alive() else 503
        return {"status": "ok" if is_alive() else "a background task has ended; restart this process"}

    @app.get("/readyz")
    async def readyz(response: Response) -> dict[str, str]:
        is_ready = store.is_ready and is_alive()
        response.status_code = 200 if is_ready else 503
        return {"status": "ok" if is_ready else "waiting for the first list of resources"}


def _add_metrics(app: FastAPI, metrics: ReceiverMetrics) -> None:
    @app.get("/metrics")
    async def read_metrics() -> Response:
        return Response(metrics.text(), media_type="text/plain; version=0.0.4")


def _render(status: int, message: str, headers: Mapping[str, str]) -> Response:
    return JSONResponse({"status": status, "message": message}, status, dict(headers))
