"""The WebSocket on which everything that happens is told: the service's status first, then each event."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from fastapi import APIRouter
from starlette.websockets import WebSocket

from fettle_api.dialects.milady.translate import status_of_service
from fettle_api.dialects.milady.translate_events import events_of
from fettle_api.errors import BodyError
from fettle_api.progress.announcements import Announcement, merged
from fettle_api.progress.events import LiveEvent
from fettle_api.service import Service
from fettle_api.settings import ApiSettings
from fettle_api.web.body import parse_json
from fettle_api.web.sockets import Message, converse


def add_socket(router: APIRouter, service: Service, settings: ApiSettings) -> None:
    """`/ws`."""

    @router.websocket("/ws")
    async def follow(socket: WebSocket) -> None:
        """Status, then events; `ping` is answered."""
        await socket.accept()
        await converse(socket, _messages(service, settings), _answer)


async def _messages(service: Service, settings: ApiSettings) -> AsyncIterator[Message]:
    async with service.live.follow_all() as events:
        with service.announcements.follow() as announced:
            yield {"type": "status", **await service_status(service, settings)}
            sources: tuple[AsyncIterator[LiveEvent | Announcement], ...] = (events, announced)
            async for event in merged(*sources):
                for message in events_of(event, service.clock()):
                    yield message


async def service_status(service: Service, settings: ApiSettings) -> dict[str, Any]:
    """The counters of `GET …/status`."""
    jobs, datasets = await asyncio.gather(service.jobs.all(), service.trajectories.datasets())
    return status_of_service(jobs, len(datasets), settings.default_gpus > 0)


def _answer(text: str) -> Mapping[str, Any] | None:
    """A client that asks whether anybody is there is told so."""
    try:
        said = parse_json(text.encode("utf-8", "replace"))
    except BodyError:
        return None
    return {"type": "pong"} if isinstance(said, dict) and said.get("type") == "ping" else None
