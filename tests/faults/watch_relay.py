"""A watch on its way through the proxy: late, twice, in another order, or cut. Knows no resources."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

import aiohttp

from tests.faults.plan import WatchFault

_HELD_SECONDS = 0.3
"""How long an event waits for the next one to go first."""
TOO_OLD = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 410, "reason": "Expired"}
"""What the API server says when it has forgotten the version."""
_TOO_OLD_EVENT = json.dumps({"type": "ERROR", "object": TOO_OLD}).encode() + b"\n"


class Lines(Protocol):
    """What a watch is read from."""

    async def readline(self) -> bytes:
        """The next line; b"" at the end."""
        ...


class CutError(Exception):
    """The connection is to be reset here."""


async def faulty_lines(content: Lines, fault: WatchFault) -> AsyncGenerator[bytes, None]:
    """The lines of a watch as the fault lets them pass. Raises CutError."""
    passed = 0
    async with aclosing(_in_order(content, fault.swaps)) as lines:
        async for line in lines:
            if fault.ends_after is not None and passed >= fault.ends_after:
                if not fault.ends_as_too_old:
                    yield line[: len(line) // 2]
                    raise CutError
                yield _TOO_OLD_EVENT
                return
            if fault.delay_seconds:
                await asyncio.sleep(fault.delay_seconds)
            yield line
            if fault.doubles:
                yield line
            passed += 1


async def _in_order(content: Lines, swaps: bool) -> AsyncGenerator[bytes, None]:
    """Each line, or the second before the first where two come close together."""
    lines: asyncio.Queue[bytes] = asyncio.Queue()
    reader = asyncio.create_task(_read(content, lines))
    try:
        while line := await lines.get():
            following = await _soon(lines) if swaps else None
            if following:
                yield following
            yield line
            if following == b"":
                return
    finally:
        reader.cancel()
        await asyncio.gather(reader, return_exceptions=True)


async def _read(content: Lines, lines: asyncio.Queue[bytes]) -> None:
    """All lines, then an empty one, however the stream ends."""
    try:
        while line := await content.readline():
            lines.put_nowait(line)
    except aiohttp.ClientError:
        return
    finally:
        lines.put_nowait(b"")


async def _soon(lines: asyncio.Queue[bytes]) -> bytes | None:
    """The next line if it comes soon; b"" is the end."""
    try:
        async with asyncio.timeout(_HELD_SECONDS):
            return await lines.get()
    except TimeoutError:
        return None
