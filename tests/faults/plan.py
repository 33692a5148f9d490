"""What goes wrong in one seeded run. Pure: the same seed and the same request give the same fault.

A fault depends on what is asked for and how often it was asked for before, not on who asks first: two processes that
race each other do not change it.
"""

import random
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

WRITES_OF_A_LIFE = 13
"""At how many writes of job `a` the first seeds kill the operator: first before each of them, then after each."""
_RATE = 0.12
"""The share of requests that something happens to."""
_MAX_EVENTS = 12
_SLOWEST_SECONDS = 0.6


class Fault(StrEnum):
    """What happens to one request."""

    CONFLICT = "409"
    OVERLOADED = "429"
    BROKEN = "500"
    LOST_REQUEST = "connection reset before the server saw it"
    LOST_ANSWER = "done, and the connection reset"
    BROKEN_ANSWER = "done, and answered with 500"
    SLOW = "answered late"

    @property
    def is_seen(self) -> bool:
        """Whether the API server gets the request."""
        return self in (Fault.LOST_ANSWER, Fault.BROKEN_ANSWER, Fault.SLOW)


_OF_READS = (Fault.OVERLOADED, Fault.BROKEN, Fault.LOST_REQUEST, Fault.SLOW)
_OF_WRITES = (*_OF_READS, Fault.LOST_ANSWER, Fault.BROKEN_ANSWER)
_OF_CONDITIONAL_WRITES = (*_OF_WRITES, Fault.CONFLICT)


@dataclass(frozen=True)
class WatchFault:
    """What happens to one watch: it is refused as too old, or its events come late, twice, in another order, or end."""

    is_too_old: bool = False
    ends_after: int | None = None
    """Events until the connection is reset."""
    ends_as_too_old: bool = False
    """Whether it ends with an ERROR event of 410 instead."""
    delay_seconds: float = 0.0
    doubles: bool = False
    swaps: bool = False


@dataclass(frozen=True)
class Kill:
    """SIGKILL of the operator at the n-th write about a job that reaches the API server."""

    job: str
    write: int
    when: Literal["before", "after"]


@dataclass(frozen=True)
class Plan:
    """One run: which jobs, which deaths; the faults are asked for one by one."""

    seed: int
    stories: dict[str, str]
    """Job → name of its story."""
    kills: tuple[Kill, ...]
    max_running: int | None
    """Limit of the queue."""
    is_submitted_first: bool
    """Whether the jobs are there before the operator is."""

    def fault(self, method: str, path: str, ordinal: int) -> Fault | None:
        """What happens to the n-th request of its kind; `path` without what differs between two runs."""
        draw = random.Random(f"{self.seed} {method} {path} {ordinal}")
        if draw.random() >= _RATE:
            return None
        choices = _OF_READS if method == "GET" else _OF_WRITES if method == "POST" else _OF_CONDITIONAL_WRITES
        return draw.choice(choices)

    def watch_fault(self, path: str, ordinal: int) -> WatchFault:
        """What happens to the n-th watch of a collection."""
        draw = random.Random(f"{self.seed} watch {path} {ordinal}")
        return WatchFault(
            is_too_old=ordinal > 1 and draw.random() < 0.1,
            ends_after=draw.randint(0, _MAX_EVENTS) if draw.random() < 0.6 else None,
            ends_as_too_old=draw.random() < 0.4,
            delay_seconds=draw.uniform(0, _SLOWEST_SECONDS) if draw.random() < 0.3 else 0.0,
            doubles=draw.random() < 0.4,
            swaps=draw.random() < 0.4,
        )


def plan(seed: int, stories: tuple[str, ...], first_story: str) -> Plan:
    """The run of a seed: one job or two. Job `a` of the first seeds lives `first_story`, and a death at each write."""
    draw = random.Random(f"run {seed}")
    is_first = seed < 2 * WRITES_OF_A_LIFE
    write = 1 + seed % WRITES_OF_A_LIFE if is_first else draw.randint(1, WRITES_OF_A_LIFE)
    is_before = seed < WRITES_OF_A_LIFE if is_first else draw.random() < 0.5
    kills = [Kill("a", write, "before" if is_before else "after")]
    while draw.random() < 0.4:
        kills.append(Kill(draw.choice("ab"), draw.randint(1, WRITES_OF_A_LIFE), draw.choice(("before", "after"))))
    lives = {"a": first_story if is_first else draw.choice(stories)}
    if draw.random() < 0.5:
        lives["b"] = draw.choice(stories)
    return Plan(
        seed=seed,
        stories=lives,
        kills=tuple(kills),
        max_running=1 if draw.random() < 0.25 else None,
        is_submitted_first=draw.random() < 0.5,
    )
