"""Events are posted beside the work."""

import asyncio
from datetime import UTC, datetime
from typing import Any

from fettle_client.protocol import EVENTS, UnavailableError
from fettle_operator.announcer import Announcer
from tests.support.fake_kubelet import training_job
from tests.support.memory_client import MemoryClient
from tests.support.polling import eventually

NOW = datetime(2026, 1, 1, tzinfo=UTC)


class Office:
    """An announcer, and whether somebody waits for a worker."""

    def __init__(self, *, is_enabled: bool = True) -> None:
        self.client = MemoryClient(clock=lambda: NOW)
        self.is_busy = False
        self.announcer = Announcer(self.client, lambda: NOW, is_enabled=is_enabled, is_busy=lambda: self.is_busy)

    def announce(self, phase: str, message: str, **status: Any) -> None:
        job = training_job()
        job["metadata"]["uid"] = "u1"
        self.announcer.announce({**job, "status": {"phase": phase, "reason": phase, "message": message, **status}})

    @property
    def messages(self) -> list[str]:
        return [event["message"] for event in self.client.items(EVENTS)]


async def test_what_was_not_posted_yet_is_replaced_by_what_the_same_event_says_now() -> None:
    office = Office()
    office.announce("Queued", "position 2")
    office.announce("Starting", "attempt 1")
    office.announce("Running", "attempt 1 is running")
    await office.announcer.post_all()
    assert office.messages == ["Starting: attempt 1", "Running: attempt 1 is running"]


async def test_what_was_posted_is_brought_up_to_date() -> None:
    office = Office()
    office.announce("Starting", "attempt 1")
    await office.announcer.post_all()
    office.announce("Starting", "attempt 2", attempts={"current": 2})
    await office.announcer.post_all()
    (event,) = office.client.items(EVENTS)
    assert (event["message"], event["count"], event["firstTimestamp"]) == (
        "Starting: attempt 2",
        2,
        "2026-01-01T00:00:00Z",
    )


async def test_nothing_is_posted_while_jobs_wait_for_a_worker_and_all_is_at_the_end() -> None:
    office = Office()
    office.is_busy = True
    office.announce("Succeeded", "trained")
    task = asyncio.create_task(office.announcer.run())
    await asyncio.sleep(0.3)
    assert office.messages == []
    office.announcer.stop()
    await asyncio.wait_for(task, 30)
    assert office.messages == ["Succeeded: trained"]


async def test_an_event_that_cannot_be_posted_is_given_up() -> None:
    office = Office()
    office.client.fail_next("create", UnavailableError(503, "ServiceUnavailable", "later"), EVENTS)
    task = asyncio.create_task(office.announcer.run())
    office.announce("Starting", "attempt 1")
    office.announce("Running", "attempt 1 is running")

    async def is_posted() -> bool:
        return office.messages == ["Running: attempt 1 is running"]

    await eventually(is_posted, "the other is posted")
    office.announcer.stop()
    await asyncio.wait_for(task, 30)


async def test_nothing_is_posted_where_that_is_switched_off() -> None:
    office = Office(is_enabled=False)
    office.announce("Running", "attempt 1 is running")
    await office.announcer.post_all()
    assert office.messages == []
