"""An HTTP server that answers what a test wrote down: for faults that a real API server cannot be asked for."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


def status(code: int, reason: str = "", headers: dict[str, str] | None = None, **details: Any) -> Answer:
    """A refusal, as the API server words it."""
    body = {"kind": "Status", "code": code, "reason": reason, "message": f"refused: {reason}", "details": details}
    return answer(body, code, headers)


def answer(body: Any, code: int = 200, headers: dict[str, str] | None = None) -> Answer:
    """One JSON body; text goes out as it is."""

    async def respond(request: web.Request) -> web.StreamResponse:
        text = body if isinstance(body, str) else json.dumps(body)
        return web.Response(text=text, status=code, headers=headers)

    return respond


def cut(*lines: Any, tail: str = "") -> Answer:
    """A stream of JSON lines, then `tail`, then the connection is reset."""
    return _stream(lines, tail, is_cut=True)


def stream(*lines: Any) -> Answer:
    """A stream of JSON lines that ends as it should."""
    return _stream(lines, "", is_cut=False)


def _stream(lines: tuple[Any, ...], tail: str, is_cut: bool) -> Answer:
    async def respond(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for line in lines:
            await response.write(json.dumps(line).encode() + b"\n")
        if tail:
            await response.write(tail.encode())
        if is_cut and request.transport:
            await asyncio.sleep(0)
            request.transport.close()
        return response

    return respond


async def silence(request: web.Request) -> web.StreamResponse:
    """No answer for as long as the client waits."""
    await asyncio.Event().wait()
    raise AssertionError("nothing ends the silence")


class FaultyApiServer:
    """Answers in the order written down, the last one again and again; `requests` records what came."""

    def __init__(self) -> None:
        self.answers: list[Answer] = []
        self.requests: list[tuple[str, dict[str, str], dict[str, str]]] = []
        """Method, query and headers of each."""
        self.url = ""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._respond)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            await runner.cleanup()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, dict(request.query), dict(request.headers)))
        chosen = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await chosen(request)
