"""Logs of containers, line by line, as the kubelet hands them out. Reads only."""

from collections.abc import AsyncGenerator

import aiohttp

from fettle_client.connection import Connection, Request
from fettle_client.paths import resource_path
from fettle_client.protocol import PODS

MAX_LINE_BYTES = 256 * 1024
"""A longer line comes in pieces."""


async def log_lines(
    connection: Connection,
    name: str,
    namespace: str,
    container: str | None,
    tail_lines: int | None,
    follow: bool,
    timestamps: bool,
) -> AsyncGenerator[str, None]:
    """Lines without their ends. Raises NotFoundError, and InvalidError while the container has not started."""
    query = {"container": container or "", "tailLines": "" if tail_lines is None else str(tail_lines)}
    query |= {"follow": "true" if follow else "", "timestamps": "true" if timestamps else ""}
    query = {key: value for key, value in query.items() if value}
    # A container may be silent for hours, so that only a log that is not followed has an end in time.
    total = None if follow else connection.timeouts.total_seconds
    timeout = aiohttp.ClientTimeout(total=total, sock_connect=connection.timeouts.connect_seconds)
    request = Request("GET", resource_path(PODS, name, namespace, "log"), query, timeout=timeout)
    rest = b""
    async with connection.open(request) as response:
        async for chunk in response.content.iter_any():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
            if len(rest) > MAX_LINE_BYTES:
                yield rest.decode(errors="replace")
                rest = b""
    if rest:
        yield rest.decode(errors="replace")
