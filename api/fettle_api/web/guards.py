"""Layers around every application that callers reach: who they are, and what they see when something breaks."""

import logging
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TypeAlias

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fettle_api.errors import headers_of, message_of, status_of
from fettle_api.identity.access import EVERYTHING, Access, access_of
from fettle_api.identity.auth import Authenticator
from fettle_schema.errors import FettleError

ErrorRenderer: TypeAlias = Callable[[int, str, Mapping[str, str]], Response]
"""Status, message and headers → an answer in the shape of a dialect."""

_logger = logging.getLogger(__name__)
_WORDS = {"Not Found": "Not found", "Method Not Allowed": "Method not allowed"}
"""The framework's own words; those of a dialect stay as they are."""


def render_errors(app: FastAPI, render: ErrorRenderer) -> None:
    """All errors of `app`, also those of routing, in one shape."""

    async def of_core(request: Request, error: Exception) -> Response:
        assert isinstance(error, FettleError)
        if status_of(error) >= 500:
            _logger.error("request failed", extra={"code": error.code, "error": str(error)})
        return render(status_of(error), message_of(error), headers_of(error))

    async def of_routing(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        headers = dict(error.headers or {})
        if error.status_code == 405 and error.detail == "Method Not Allowed":
            headers["Allow"] = ", ".join(_allowed_methods(app, request))
        # A dialect whose errors hold more than a sentence raises FastAPI's HTTPException with whatever they hold.
        detail = _WORDS.get(error.detail, error.detail) if isinstance(error.detail, str) else error.detail
        return render(error.status_code, detail, headers)

    app.add_exception_handler(FettleError, of_core)
    app.add_exception_handler(HTTPException, of_routing)
    app.add_middleware(ErrorBoundary, render=render)


def _allowed_methods(app: FastAPI, request: Request) -> list[str]:
    """Of all routes with this path: the framework names those of the first one only."""
    methods: set[str] = set()
    for method in ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"):
        scope = {**request.scope, "method": method}
        if any(route.matches(scope)[0] is Match.FULL for route in app.router.routes):
            methods.add(method)
    return sorted(methods)


class ErrorBoundary:
    """The process edge: whatever nobody expected becomes a 500 that says nothing internal."""

    def __init__(self, app: ASGIApp, render: ErrorRenderer) -> None:
        self._app, self._render = app, render

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def watch(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watch)
        except Exception as error:
            # Where it happened, but not its words: they may quote a request, and requests may hold secrets.
            where = "".join(traceback.format_tb(error.__traceback__))
            _logger.error("unexpected %s\n%s", type(error).__name__, where)
            if scope["type"] == "websocket":
                with suppress(RuntimeError, OSError):  # it may be closed already
                    await send({"type": "websocket.close", "code": 1011})
                return
            if has_started or scope["type"] != "http":
                raise
            await self._render(500, "Internal server error", {})(scope, receive, send)


class Guard:
    """Lets in whom the authenticator knows, to what they may do; `routes` are those of the application behind it."""

    def __init__(
        self, app: ASGIApp, authenticator: Authenticator, render: ErrorRenderer, routes: Sequence[BaseRoute]
    ) -> None:
        self._app, self._authenticator, self._render, self._routes = app, authenticator, render, routes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        try:
            principal = await self._authenticator.authenticate(Headers(scope=scope), lambda: self._access(scope))
        except FettleError as error:
            if scope["type"] == "websocket" and "websocket.http.response" not in scope.get("extensions", {}):
                await send({"type": "websocket.close", "code": 1008})
                return
            answer = self._render(status_of(error), message_of(error), headers_of(error))
            await answer(scope, receive, send)
            return
        scope.setdefault("state", {})["principal"] = principal
        await self._app(scope, receive, send)

    def _access(self, scope: Scope) -> Access | None:
        """What the route needs that will answer; what has none is answered with 404 or 405."""
        method = "WEBSOCKET" if scope["type"] == "websocket" else str(scope["method"])
        for route in self._routes:
            if route.matches(scope)[0] is Match.FULL:
                path = getattr(route, "path", None)
                return EVERYTHING if path is None else access_of(method, path)
        return None
