"""One record and one count for each request, and its id. Never a query string, a header or a body: they may hold
secrets."""

import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from fettle_api.metrics import Metrics

_logger = logging.getLogger("fettle_api.access")


class AccessLog:
    """The outermost layer of an application; `dialect_of` says whose a path is."""

    def __init__(self, app: ASGIApp, metrics: Metrics, dialect_of: Callable[[str], str]) -> None:
        self._app, self._metrics, self._dialect_of = app, metrics, dialect_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _request_id(Headers(scope=scope).get("x-request-id"))
        scope.setdefault("state", {})["request_id"] = request_id
        started, status = time.monotonic(), 0

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-Id"] = request_id
            await send(message)

        path = str(scope["path"])
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.monotonic() - started
            self._metrics.request_ended(self._dialect_of(path), str(scope["method"]), status, seconds)
            _logger.info(
                "request",
                extra={
                    "request_id": request_id,
                    "method": scope["method"],
                    "path": path,
                    "status": status,
                    "seconds": round(seconds, 4),
                    "client": (scope.get("client") or ("", 0))[0],
                },
            )


def _request_id(given: str | None) -> str:
    return given if given and re.fullmatch(r"[A-Za-z0-9._-]{1,64}", given) else uuid.uuid4().hex
