import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from fettle_api.errors import SlowFollowerError
from fettle_api.web.sockets import converse, refuse
from tests.support.websocket_caller import ClosedError, RefusedError, connected


async def counting(stop: int | None = None) -> AsyncIterator[Mapping[str, Any]]:
    number = 0
    while number != stop:
        number += 1
        yield {"number": number}


async def silence() -> AsyncIterator[Mapping[str, Any]]:
    await asyncio.Event().wait()
    yield {}


class Application:
    """Tells `messages`, echoes every text but `quiet`, and records that it ended."""

    def __init__(self, messages: AsyncIterator[Mapping[str, Any]], send_seconds: float = 5) -> None:
        self.messages, self.send_seconds, self.has_ended = messages, send_seconds, False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocket(scope, receive, send)
        await socket.accept()
        await converse(
            socket, self.messages, lambda text: None if text == "quiet" else {"echo": text}, self.send_seconds
        )
        self.has_ended = True


async def test_messages_come_in_order_and_the_end_closes() -> None:
    async with connected(Application(counting(3)), "/") as caller:
        assert [await caller.receive() for _ in range(3)] == [{"number": 1}, {"number": 2}, {"number": 3}]
        with pytest.raises(ClosedError) as closed:
            await caller.receive()
    assert closed.value.code == 1000


async def test_texts_are_answered_at_the_side() -> None:
    async with connected(Application(silence()), "/") as caller:
        await caller.send_text("quiet")
        await caller.send_text("hello")
        assert await caller.receive() == {"echo": "hello"}


async def test_a_client_that_leaves_ends_it() -> None:
    application = Application(silence())
    async with connected(application, "/"):
        pass
    assert application.has_ended


async def test_a_client_that_does_not_read_is_dropped() -> None:
    application = Application(counting(), send_seconds=0.05)
    async with connected(application, "/", buffer=2) as caller:
        assert caller.task is not None
        await asyncio.wait_for(asyncio.shield(caller.task), 5)
        assert application.has_ended


async def test_a_client_that_floods_and_does_not_read_is_dropped() -> None:
    application = Application(silence(), send_seconds=0.05)
    async with connected(application, "/", buffer=2) as caller:
        for _ in range(50):
            await caller.send_text("x")
        assert caller.task is not None
        await asyncio.wait_for(asyncio.shield(caller.task), 5)


async def test_a_follower_that_lost_events_is_told_to_come_back() -> None:
    async def lossy() -> AsyncIterator[Mapping[str, Any]]:
        yield {"number": 1}
        raise SlowFollowerError("too slow")

    async with connected(Application(lossy()), "/") as caller:
        await caller.receive()
        with pytest.raises(ClosedError) as closed:
            await caller.receive()
    assert closed.value.code == 1013


@pytest.mark.parametrize(("extensions", "status"), [({"websocket.http.response": {}}, 404), ({}, 403)])
async def test_a_refusal_is_an_answer_where_the_server_can_give_one(extensions: dict[str, Any], status: int) -> None:
    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await refuse(WebSocket(scope, receive, send), JSONResponse({"detail": "Job not found"}, 404))

    with pytest.raises(RefusedError) as refused:
        async with connected(application, "/", extensions=extensions):
            pass
    assert refused.value.status == status
