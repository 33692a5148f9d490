"""The WebSocket of one job. Who may connect is decided before, as for every request."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from fastapi import APIRouter, WebSocket

from fettle_api.dialects.merlina.messages import HEARTBEAT, Message, messages_of
from fettle_api.dialects.merlina.refusals import render_error, resource_name
from fettle_api.errors import JobNotFoundError, message_of, status_of
from fettle_api.service import Service
from fettle_api.web.sockets import converse, refuse
from fettle_schema.errors import FettleError

LINGER_SECONDS = 60.0
"""How long a connection stays after its last message: most clients leave by themselves, and some ask once more."""


def add_socket(router: APIRouter, service: Service, linger_seconds: float = LINGER_SECONDS) -> None:
    """`/ws/{job_id}`."""

    @router.websocket("/ws/{job_id}")
    async def follow(socket: WebSocket, job_id: str) -> None:
        """State and steps of a job, as they happen."""
        async with AsyncExitStack() as stack:
            try:
                events = await stack.enter_async_context(service.live.follow(resource_name(job_id)))
            except JobNotFoundError:
                await refuse(socket, render_error(404, "Job not found", {}))
                return
            except FettleError as error:
                await refuse(socket, render_error(status_of(error), message_of(error), {}))
                return
            await socket.accept()
            messages = messages_of(events, service.clock, service.results.final_metrics)
            await converse(socket, _lingering(messages, linger_seconds), lambda _: HEARTBEAT)


async def _lingering(messages: AsyncIterator[Message], seconds: float) -> AsyncIterator[Message]:
    async for message in messages:
        yield message
    await asyncio.sleep(seconds)
