"""Watches that survive: resumed from the last version seen, until history is lost. It decides nothing about events."""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import aiohttp
from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

from fettle_client.connection import Connection, Request
from fettle_client.errors import INTERRUPTED, error_from_status
from fettle_client.protocol import GoneError, Manifest, Synced, UnavailableError, WatchEvent

_INITIAL_EVENTS_END = "k8s.io/initial-events-end"

_log = logging.getLogger(__name__)


class _Nothing(TypedDict):
    """Its keys are left where they are."""


@with_config(ConfigDict(extra="allow"))
class _Metadata(TypedDict, total=False):
    managedFields: list[_Nothing] | None


@with_config(ConfigDict(extra="allow"))
class _Object(TypedDict, total=False):
    metadata: _Metadata


class _Event(TypedDict):
    type: str
    object: _Object


_EVENT = TypeAdapter(_Event)
"""Reads a line without making objects of `managedFields`, which are half of many a manifest and which nobody wants."""


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


async def initial_events(connection: Connection, path: str) -> AsyncGenerator[WatchEvent | Synced, None]:
    """Everything that is there, then `Synced`; as it comes, and from the server's cache, not from its store.

    A list by pages is read and decoded from the store by the page: of ten thousand jobs that takes three times as long.
    Raises InvalidError where the server cannot do it, which Kubernetes 1.33 does not unless it is asked to.
    """
    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}
    async with aclosing(_one_watch(connection, path, query)) as events:
        async for event_type, manifest in events:
            if event_type != "BOOKMARK":
                yield WatchEvent(event_type, manifest)
            elif _INITIAL_EVENTS_END in (manifest["metadata"].get("annotations") or {}):
                yield Synced(manifest["metadata"]["resourceVersion"])
                return
    raise UnavailableError(504, INTERRUPTED, f"{path}: the server ended before it had told everything")


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
        return dict(_EVENT.validate_json(line))
    except ValueError as error:
        raise UnavailableError(504, INTERRUPTED, "the watch ended in the middle of an event") from error


def _error_of(status: Mapping[str, Any]) -> GoneError | UnavailableError:
    error = error_from_status(int(status.get("code") or 500), status)
    if isinstance(error, GoneError | UnavailableError):
        return error
    return UnavailableError(error.status, error.code, str(error), error.details)
