"""Watches that survive: resumed from the last version seen, until history is lost. It decides nothing about events."""

import asyncio
import json
import logging
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import aiohttp

from fettle_client.connection import Connection, Request
from fettle_client.errors import INTERRUPTED, error_from_status
from fettle_client.protocol import GoneError, Manifest, UnavailableError, WatchEvent

_log = logging.getLogger(__name__)


async def watch_events(
    connection: Connection, path: str, query: Mapping[str, str], resource_version: str
) -> AsyncGenerator[WatchEvent, None]:
    """Changes after `resource_version`, without end. Raises GoneError, and at once what waiting will not cure."""
    version, failures = resource_version, 0
    while True:
        error: UnavailableError | None = None
        failures += 1
        try:
            async with aclosing(_one_watch(connection, path, {**query, "resourceVersion": version})) as events:
                async for event_type, manifest in events:
                    failures = 0
                    version = manifest["metadata"]["resourceVersion"]
                    if event_type != "BOOKMARK":
                        yield WatchEvent(event_type, manifest)
        except UnavailableError as lost:
            error = lost
            _log.info("watch of %s interrupted at version %s: %s", path, version, lost)
        if error or failures:
            await asyncio.sleep(connection.retry.delay_seconds(max(failures, 1), error))


async def _one_watch(
    connection: Connection, path: str, query: Mapping[str, str]
) -> AsyncGenerator[tuple[Any, Manifest], None]:
    """Events of one connection, bookmarks included, until the server ends it."""
    # Spread over time, or all watches of a process would come back in the same moment.
    seconds = max(1, round(connection.timeouts.watch_seconds * random.uniform(0.75, 1.0)))
    query = {**query, "watch": "true", "allowWatchBookmarks": "true", "timeoutSeconds": str(seconds)}
    grace = connection.timeouts.connect_seconds
    timeout = aiohttp.ClientTimeout(total=seconds + grace, sock_connect=grace)
    async with connection.open(Request("GET", path, query, timeout=timeout)) as response:
        while line := await response.content.readline():
            event = _parsed(line)
            if event["type"] == "ERROR":
                raise _error_of(event["object"])
            yield event["type"], event["object"]


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        event: dict[str, Any] = json.loads(line)
    except ValueError as error:
        raise UnavailableError(504, INTERRUPTED, "the watch ended in the middle of an event") from error
    return event


def _error_of(status: Mapping[str, Any]) -> GoneError | UnavailableError:
    error = error_from_status(int(status.get("code") or 500), status)
    if isinstance(error, GoneError | UnavailableError):
        return error
    return UnavailableError(error.status, error.code, str(error), error.details)
