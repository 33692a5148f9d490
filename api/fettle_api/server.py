"""One process, several ports: the main application and one listener for each dialect. Started and stopped together."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI
from starlette.types import ASGIApp

from fettle_api.settings import ApiSettings

_MAIN = "main"


class _Server(uvicorn.Server):
    """A server that leaves the process's signals alone: they are for all servers together."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class Servers:
    """The listeners of one facade."""

    def __init__(self, app: FastAPI, settings: ApiSettings) -> None:
        self._app, self._settings = app, settings
        self._servers: list[_Server] = []
        self._tasks: list[asyncio.Task[None]] = []
        self.ports: dict[str, int] = {}
        """Port by dialect, and `main`; also where port 0 was asked for."""

    async def start(self) -> None:
        """Bind all ports, then serve. Raises OSError that names the port which is taken."""
        wanted: list[tuple[str, int, ASGIApp]] = [(_MAIN, self._settings.port, self._app)]
        for name, port in self._settings.dialect_ports.items():
            if name not in self._app.state.ports:
                raise ValueError(f"dialect_ports: unknown dialect {name!r}; known are {sorted(self._app.state.ports)}")
            wanted.append((name, port, self._app.state.ports[name]))
        sockets: list[socket.socket] = []
        try:
            for name, port, _ in wanted:
                sockets.append(_bind(self._settings.host, port, name))
        except OSError:
            for bound in sockets:
                bound.close()
            raise
        for (name, _, app), bound in zip(wanted, sockets, strict=True):
            self.ports[name] = bound.getsockname()[1]
            await self._start(app, bound, has_lifespan=name == _MAIN)

    async def stop(self) -> None:
        """Let answers under way end, then close; the main application, which the others read through, is last."""
        for server, task in reversed(list(zip(self._servers, self._tasks, strict=True))):
            server.should_exit = True
            await task

    async def _start(self, app: ASGIApp, bound: socket.socket, has_lifespan: bool) -> None:
        config = uvicorn.Config(
            app,
            lifespan="on" if has_lifespan else "off",
            access_log=False,
            log_config=None,
            log_level="warning",  # at INFO it writes the query string of each WebSocket
            ws_max_size=64 * 1024,
            ws_per_message_deflate=False,  # 30 kB of memory for each client, to shorten messages of 300 bytes
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=20,
        )
        server = _Server(config)
        task = asyncio.create_task(server.serve(sockets=[bound]), name=f"serve-{bound.getsockname()[1]}")
        self._servers.append(server)
        self._tasks.append(task)
        while not server.started and not task.done():  # noqa: ASYNC110 - uvicorn offers a flag only
            await asyncio.sleep(0.01)
        if task.done():
            raise RuntimeError("the server ended while it started; its log says why")


def _bind(host: str, port: int, name: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named: asyncio then sets TCP_NODELAY. Without it an answer in two pieces, head and body, waits
    # 40 ms for the caller's delayed acknowledgement of the first.
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port} for {name!r}: {error.strerror}") from error
    return bound
