"""`python -m tests.bench.facade_load`: requests at a steady rate, whether or not the answers keep up.

The plan comes on standard input, and what it took goes to standard output, both JSON. When each request is due is
fixed beforehand, and its time counts from then: one that waits, here or at the server, counts as long as it took.
"""

import asyncio
import gc
import json
import resource
import ssl
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp

from tests.bench.figures import schedule

_CONNECTIONS = 64
_TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True)
class Plan:
    """What is asked for."""

    urls: list[str]
    """In turns."""
    per_second: float
    seconds: float
    headers: dict[str, str] = field(default_factory=dict)
    authority: str | None = None
    """File of the certificate that the server's is checked with."""
    tokens: list[str] = field(default_factory=list)
    """One for each URL: then each request is the progress report of a job, with its token, else a GET."""


@dataclass(frozen=True)
class Call:
    """One request."""

    url: str
    body: dict[str, Any] | None = None
    token: str = ""

    @property
    def method(self) -> str:
        """A body is posted."""
        return "GET" if self.body is None else "POST"


@dataclass
class Outcome:
    """What came of it."""

    seconds: list[float] = field(default_factory=list)
    """Of each answer, from when its request was due."""
    delays: list[float] = field(default_factory=list)
    """How late each request was sent by this program."""
    sizes: list[int] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    cpu_share: float = 0.0
    """Of one core, by this program."""


async def load(plan: Plan) -> Outcome:
    """Ask, and wait for all answers."""
    outcome = Outcome()
    context = ssl.create_default_context(cafile=plan.authority) if plan.authority else False
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS, ssl=context)
    timeout = aiohttp.ClientTimeout(total=_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(connector=connector, headers=plan.headers, timeout=timeout) as session:
        for number in range(min(8, len(plan.urls))):  # connections are open, and applications put together
            await _ask(session, call_of(plan, number), time.monotonic(), Outcome())
        begin, cpu = time.monotonic() + 0.1, _cpu_seconds()
        async with asyncio.TaskGroup() as requests:
            for number, due in enumerate(schedule(plan.per_second, plan.seconds)):
                await asyncio.sleep(max(0.0, begin + due - time.monotonic()))
                requests.create_task(_ask(session, call_of(plan, number), begin + due, outcome))
        outcome.cpu_share = (_cpu_seconds() - cpu) / (time.monotonic() - begin)
    return outcome


def call_of(plan: Plan, number: int) -> Call:
    """The n-th request."""
    turn = number % len(plan.urls)
    if not plan.tokens:
        return Call(plan.urls[turn])
    step = 1 + number // len(plan.urls)
    report = {"time": datetime.now(UTC).isoformat(), "attempt": 1, "stage": "training", "step": step}
    report |= {"totalSteps": 1000, "loss": 1 / step, "learningRate": 2e-4, "tokensPerSecond": 900.0}
    return Call(plan.urls[turn], report, plan.tokens[turn])


async def _ask(session: aiohttp.ClientSession, call: Call, due: float, outcome: Outcome) -> None:
    outcome.delays.append(time.monotonic() - due)
    headers = {"Authorization": f"Bearer {call.token}"} if call.token else None
    try:
        async with session.request(call.method, call.url, json=call.body, headers=headers) as answer:
            body = await answer.read()
    except (aiohttp.ClientError, TimeoutError) as error:
        outcome.failures.append(type(error).__name__)
        return
    if answer.status != 200:
        outcome.failures.append(f"{answer.status} {call.url}")
        return
    outcome.seconds.append(time.monotonic() - due)
    outcome.sizes.append(len(body))


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """The process; its own memory is small enough not to be collected meanwhile."""
    gc.disable()
    outcome = asyncio.run(load(Plan(**json.load(sys.stdin))))
    json.dump(vars(outcome), sys.stdout)


if __name__ == "__main__":
    main()
