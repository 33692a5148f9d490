"""`python -m tests.bench.facade_sockets`: many clients on one job's WebSocket, and when each step reached each of them.

The plan is the first line of standard input, as JSON: `url` and `clients`. When all have got their first message, it
says `ready`; when its input ends, it writes the arrivals by step, by the monotonic clock that all processes share.
"""

import asyncio
import gc
import json
import resource
import sys
import time
from typing import Any

import aiohttp

_AT_ONCE = 25
_MESSAGES_OF_STEP = 2
"""Merlina tells a step by `metrics` and by `status_update`; it has arrived when both have."""


class Arrivals:
    """The messages of all clients."""

    def __init__(self) -> None:
        self.times: dict[int, list[float]] = {}
        """By step: when each client had all of it."""
        self._heard: dict[tuple[int, int], int] = {}

    def add(self, client: int, message: dict[str, Any], time: float) -> None:
        """One message of one client."""
        step = message.get("step", message.get("current_step"))
        if step is None:
            return
        heard = self._heard.get((client, step), 0) + 1
        self._heard[client, step] = heard
        if heard == _MESSAGES_OF_STEP:
            self.times.setdefault(step, []).append(time)


async def follow(
    session: aiohttp.ClientSession,
    url: str,
    client: int,
    arrivals: Arrivals,
    turn: asyncio.Semaphore,
    ready: asyncio.Barrier,
) -> None:
    """One client, which offers compression as browsers do, until it is cancelled."""
    async with turn:
        socket = await session.ws_connect(url, compress=15, max_msg_size=0)
        await socket.receive_str()
    await ready.wait()
    async for message in socket:
        now = time.monotonic()
        if message.type is aiohttp.WSMsgType.TEXT:
            arrivals.add(client, json.loads(message.data), now)


async def main() -> None:
    """The process."""
    loop, arrivals = asyncio.get_running_loop(), Arrivals()
    plan = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
    ready, turn = asyncio.Barrier(plan["clients"] + 1), asyncio.Semaphore(_AT_ONCE)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as session:
        clients = [
            asyncio.create_task(follow(session, plan["url"], number, arrivals, turn, ready))
            for number in range(plan["clients"])
        ]
        await ready.wait()
        print("ready", flush=True)
        await loop.run_in_executor(None, sys.stdin.read)
        is_lost = [client.done() for client in clients]
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
    used = resource.getrusage(resource.RUSAGE_SELF)
    found = {"arrivals": arrivals.times, "lost": sum(is_lost), "cpu_seconds": used.ru_utime + used.ru_stime}
    print(json.dumps(found))


if __name__ == "__main__":
    gc.disable()
    asyncio.run(main())
