"""A WebSocket on which things are told: messages out, each with a deadline, and texts in at the side. No dialect.

A client that does not read is dropped, not waited for: a message that cannot be sent in time ends the connection.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect

from fettle_api.errors import SlowFollowerError

SEND_SECONDS = 10.0
"""Longest time for one message."""

Message = Mapping[str, Any]
Answer = Callable[[str], Message | None]
"""What is answered to a client's text; None for nothing."""

_DONE = 1000
_TRY_AGAIN = 1013


async def refuse(socket: WebSocket, answer: Response) -> None:
    """Instead of accepting: an HTTP answer where the server can give one, else a close."""
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(answer)
    else:
        await socket.close(1008)


async def converse(
    socket: WebSocket, messages: AsyncIterator[Message], answer: Answer, send_seconds: float = SEND_SECONDS
) -> None:
    """Send all messages of an accepted socket and answer what the client says; returns when either side has ended."""
    sender = _Sender(socket, send_seconds)
    tasks = [asyncio.create_task(sender.send_all(messages)), asyncio.create_task(_listen(socket, sender, answer))]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    failures = [result for result in ended if isinstance(result, Exception)]
    is_slow = any(isinstance(failure, TimeoutError | SlowFollowerError) for failure in failures)
    unexpected = [failure for failure in failures if not isinstance(failure, _ENDINGS)]
    if tasks[0] in done or is_slow:
        await _close(socket, _TRY_AGAIN if is_slow else 1011 if unexpected else _DONE)
    if unexpected:
        raise unexpected[0]


_ENDINGS = (WebSocketDisconnect, TimeoutError, SlowFollowerError)


class _Sender:
    """One message after the other, whoever sends."""

    def __init__(self, socket: WebSocket, send_seconds: float) -> None:
        self._socket, self._send_seconds, self._turn = socket, send_seconds, asyncio.Lock()

    async def send(self, message: Message) -> None:
        """Raises TimeoutError if the client does not read."""
        text = json.dumps(message, ensure_ascii=False, allow_nan=False)
        async with asyncio.timeout(self._send_seconds), self._turn:
            await self._socket.send_text(text)

    async def send_all(self, messages: AsyncIterator[Message]) -> None:
        async for message in messages:
            await self.send(message)


async def _listen(socket: WebSocket, sender: _Sender, answer: Answer) -> None:
    """Until the client leaves."""
    while True:
        received = await socket.receive()
        if received["type"] == "websocket.disconnect":
            return
        words = answer(received.get("text") or "")
        if words is not None:
            await sender.send(words)


async def _close(socket: WebSocket, code: int) -> None:
    """A client that does not read takes no close either; the server then cuts the connection."""
    with suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
        async with asyncio.timeout(1):
            await socket.close(code)
