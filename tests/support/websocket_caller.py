"""A client of an application's WebSocket, in process. It reads when it is asked to, and can stop reading."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.types import ASGIApp, Message

DEADLINE_SECONDS = 10.0


class RefusedError(Exception):
    """The application did not accept."""

    def __init__(self, status: int, body: bytes = b"") -> None:
        super().__init__(f"{status} {body.decode()}")
        self.status, self.body = status, body


class ClosedError(Exception):
    """The application closed the connection."""

    def __init__(self, code: int) -> None:
        super().__init__(str(code))
        self.code = code


class WebSocketCaller:
    """One connection. `buffer` is how many messages the application can send before it must wait."""

    def __init__(self, buffer: int) -> None:
        self.to_app: asyncio.Queue[Message] = asyncio.Queue()
        self.from_app: asyncio.Queue[Message] = asyncio.Queue(buffer)
        self.task: asyncio.Task[None] | None = None

    async def send_text(self, text: str) -> None:
        """Say something."""
        await self.to_app.put({"type": "websocket.receive", "text": text})

    async def receive(self, within_seconds: float = DEADLINE_SECONDS) -> Any:
        """The next message, as JSON. Raises ClosedError, TimeoutError."""
        message = await asyncio.wait_for(self.from_app.get(), within_seconds)
        if message["type"] == "websocket.close":
            raise ClosedError(message.get("code", 1000))
        return json.loads(message["text"])

    async def receive_until(self, kind: str, within_seconds: float = DEADLINE_SECONDS) -> list[Any]:
        """All messages up to the first of this type."""
        found: list[Any] = []
        async with asyncio.timeout(within_seconds):
            while not found or found[-1]["type"] != kind:
                found.append(await self.receive(within_seconds))
        return found

    async def accepted(self) -> None:
        """Raises RefusedError."""
        first = await asyncio.wait_for(self.from_app.get(), DEADLINE_SECONDS)
        if first["type"] == "websocket.http.response.start":
            body = await asyncio.wait_for(self.from_app.get(), DEADLINE_SECONDS)
            raise RefusedError(first["status"], body["body"])
        if first["type"] != "websocket.accept":
            raise RefusedError(403)


@asynccontextmanager
async def connected(
    app: ASGIApp,
    path: str,
    headers: Mapping[str, str] | None = None,
    buffer: int = 1000,
    extensions: Mapping[str, Any] | None = None,
) -> AsyncIterator[WebSocketCaller]:
    """A connection that is accepted; afterwards the client leaves, and the application must have ended."""
    caller = WebSocketCaller(buffer)
    given = {"host": "localhost", **(headers or {})}
    scope = {
        "type": "websocket",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "ws",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in given.items()],
        "client": ("127.0.0.1", 1),
        "server": ("localhost", 1),
        "subprotocols": [],
        "extensions": {"websocket.http.response": {}} if extensions is None else dict(extensions),
    }
    await caller.to_app.put({"type": "websocket.connect"})
    caller.task = asyncio.create_task(app(scope, caller.to_app.get, caller.from_app.put))  # type: ignore[arg-type]
    try:
        await caller.accepted()
        yield caller
    finally:
        await caller.to_app.put({"type": "websocket.disconnect", "code": 1000})
        while not caller.from_app.empty():  # whoever waits to send may end
            caller.from_app.get_nowait()
        await asyncio.wait_for(caller.task, DEADLINE_SECONDS)
