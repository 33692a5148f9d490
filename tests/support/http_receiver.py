"""An HTTP server on loopback that notes what comes and answers what a test has laid out."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web


@dataclass(frozen=True)
class Received:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    """Names in small letters."""
    body: bytes


@dataclass
class Receiver:
    """A running server."""

    url: str
    port: int
    statuses: list[int] = field(default_factory=list)
    """What is answered next; 200 when there is nothing left."""
    received: list[Received] = field(default_factory=list)


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def http_receiver(*statuses: int, port: int = 0) -> AsyncIterator[Receiver]:
    """A server that answers with `statuses`, one after the other, on a port of its own choice or on `port`."""
    receiver = Receiver("", 0, list(statuses))

    async def handle(request: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in request.headers.items()}
        receiver.received.append(Received(request.method, request.path, headers, await request.read()))
        status = receiver.statuses.pop(0) if receiver.statuses else 200
        headers = {"Location": "/elsewhere"} if 300 <= status < 400 else {}
        return web.Response(status=status, headers=headers)

    async with http_server(handle, port) as bound:
        receiver.url, receiver.port = f"http://127.0.0.1:{bound}/hook", bound
        yield receiver


@asynccontextmanager
async def http_server(handle: Handler, port: int = 0, host: str = "127.0.0.1") -> AsyncIterator[int]:
    """A server on loopback, whose port is given; every request goes to `handle`."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
