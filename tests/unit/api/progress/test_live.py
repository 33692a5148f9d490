import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from fettle_api.errors import JobNotFoundError, SlowFollowerError
from fettle_api.files.workspace import Workspace
from fettle_api.progress.events import Follower, JobChanged, JobGone, JobReported, LiveEvent
from fettle_api.progress.live import LiveFeed
from fettle_api.resources.models import JobView
from fettle_api.resources.store import Store
from fettle_client.protocol import TRAINING_JOBS, Manifest
from fettle_schema.names import job_directory
from tests.support.memory_client import MemoryClient
from tests.support.polling import eventually

SPEC = {"baseModel": {"id": "a/b"}, "dataset": {"source": {"huggingFace": {"id": "c/d"}}}}


@dataclass
class World:
    client: MemoryClient
    store: Store
    live: LiveFeed
    root: Path

    async def create(self, name: str = "demo") -> None:
        manifest: Manifest = {
            "apiVersion": "fettle.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": name, "namespace": "default"},
            "spec": SPEC,
        }
        await self.store.create_job(manifest)

    def set_status(self, name: str = "demo", **status: Any) -> None:
        self.client.set_status(TRAINING_JOBS, name, status, "default")

    async def is_running(self, name: str = "demo") -> None:
        self.set_status(name, phase="Running")

        async def is_seen() -> bool:
            return (await self.store.get_job(name)).phase == "Running"

        await eventually(is_seen, "the job runs", within_seconds=60, every_seconds=0.005)

    def path(self, name: str = "demo") -> Path:
        job = self.client.item(TRAINING_JOBS, name, "default")
        assert job is not None
        path = self.root / job_directory(name, job["metadata"]["uid"]) / "metrics.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def log(self, *steps: int, name: str = "demo") -> None:
        with self.path(name).open("a") as file:
            for step in steps:
                file.write(line(step) + "\n")


def line(step: int, attempt: int = 1) -> str:
    time = f"2026-01-01T12:{step // 60:02}:{step % 60:02}Z"
    return f'{{"time":"{time}","attempt":{attempt},"kind":"step","step":{step},"totalSteps":100,"loss":{100 - step}}}'


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    client = MemoryClient()
    store = Store(client, "default")
    live = LiveFeed(store, Workspace(tmp_path), interval_seconds=0.02)
    store.start()
    yield World(client, store, live, tmp_path)
    await live.stop()
    await store.stop()


async def next_of(events: AsyncIterator[LiveEvent]) -> LiveEvent:
    return await asyncio.wait_for(anext(events), 5)


async def steps_of(events: AsyncIterator[LiveEvent], count: int) -> list[int]:
    found: list[int] = []
    while len(found) < count:
        event = await next_of(events)
        if isinstance(event, JobReported):
            assert event.event.step is not None
            found.append(event.event.step)
    return found


@asynccontextmanager
async def following(world: World, name: str = "demo") -> AsyncIterator[tuple[JobChanged, AsyncIterator[LiveEvent]]]:
    async with world.live.follow(name) as events:
        first = await next_of(events)
        assert isinstance(first, JobChanged)
        yield first, events


async def test_the_state_comes_first_then_each_step_and_change(world: World) -> None:
    await world.create()
    async with following(world) as (first, events):
        assert (first.job.phase, first.before) == ("Pending", None)
        world.set_status(phase="Running")
        changed = await next_of(events)
        assert isinstance(changed, JobChanged)
        assert changed.before is not None
        assert (changed.before.phase, changed.job.phase) == ("Pending", "Running")
        world.log(1, 2)
        for step in (1, 2):
            reported = await next_of(events)
            assert isinstance(reported, JobReported)
            assert (reported.event.step, reported.event.loss) == (step, 100 - step)
            assert reported.job.status.progress is not None
            assert (reported.job.status.progress.step, reported.job.status.progress.percent) == (step, step)


async def test_what_was_written_last_is_told_before_the_end(world: World) -> None:
    await world.create()
    await world.is_running()
    async with following(world) as (_, events):
        world.log(1)
        world.set_status(phase="Succeeded")
        kinds = [await next_of(events), await next_of(events)]
        assert isinstance(kinds[0], JobReported)
        assert isinstance(kinds[1], JobChanged)
        assert kinds[1].job.phase == "Succeeded"
        assert kinds[1].job.status.progress is not None
        assert kinds[1].job.status.progress.step == 1


async def test_a_reconnect_gets_the_state_and_nothing_twice(world: World) -> None:
    await world.create()
    await world.is_running()
    async with following(world) as (_, events):
        world.log(1, 2, 3)
        assert await steps_of(events, 3) == [1, 2, 3]
    world.log(4)
    async with following(world) as (first, events):
        assert first.job.status.progress is not None
        assert first.job.status.progress.step == 4
        world.log(5)
        assert await steps_of(events, 1) == [5]


async def test_who_comes_later_shares_the_tail(world: World) -> None:
    await world.create()
    await world.is_running()
    async with following(world) as (_, early):
        world.log(1)
        assert await steps_of(early, 1) == [1]
        async with following(world) as (first, late):
            assert first.job.status.progress is not None
            assert first.job.status.progress.step == 1
            assert world.live.follower_count == 2
            world.log(2)
            assert await steps_of(early, 1) == await steps_of(late, 1) == [2]
        assert world.live.follower_count == 1
    assert world.live.follower_count == 0


async def test_a_line_that_is_being_written_waits(world: World) -> None:
    await world.create()
    await world.is_running()
    async with following(world) as (_, events):
        text = line(1)
        with world.path().open("a") as file:
            file.write(text[:20])
            file.flush()
            world.live.wake("demo")
            await asyncio.sleep(0)
            file.write(text[20:] + "\nno report\n" + line(2) + "\n")
        assert await steps_of(events, 2) == [1, 2]


async def test_progress_of_a_trainer_without_a_file_comes_from_the_resource(world: World) -> None:
    await world.create()
    await world.is_running()
    progress = {"step": 7, "totalSteps": 10, "loss": 1.5, "attempt": 1, "lastReportTime": "2026-01-01T12:00:00Z"}
    async with following(world) as (_, events):
        world.set_status(phase="Running", progress=progress)
        reported, changed = await next_of(events), await next_of(events)
        assert isinstance(reported, JobReported)
        assert (reported.event.step, reported.event.loss) == (7, 1.5)
        assert isinstance(changed, JobChanged)


async def test_progress_that_the_file_told_already_is_no_change(world: World) -> None:
    await world.create()
    await world.is_running()
    async with following(world) as (_, events):
        world.log(1)
        assert await steps_of(events, 1) == [1]
        progress = {"step": 1, "attempt": 1, "lastReportTime": "2026-01-01T12:00:01Z"}
        world.set_status(phase="Running", progress=progress)
        world.set_status(phase="Succeeded", progress=progress)
        changed = await next_of(events)
        assert isinstance(changed, JobChanged)
        assert changed.job.phase == "Succeeded"


async def test_a_deleted_job_ends_what_follows_it(world: World) -> None:
    await world.create()
    async with following(world) as (_, events):
        await world.client.delete(TRAINING_JOBS, "demo", "default")
        assert isinstance(await next_of(events), JobGone)
        with pytest.raises(StopAsyncIteration):
            await next_of(events)


async def test_all_jobs_at_once_with_those_that_come(world: World) -> None:
    await world.create("old")
    await world.is_running("old")
    async with world.live.follow_all() as events:
        await world.create("new")
        made = await next_of(events)
        assert isinstance(made, JobChanged)
        assert (made.job.name, made.before) == ("new", None)
        world.log(1, name="old")
        reported = await next_of(events)
        assert isinstance(reported, JobReported)
        assert reported.job.name == "old"
        await world.client.delete(TRAINING_JOBS, "new", "default")
        assert isinstance(await next_of(events), JobGone)
        await world.create("new")
        again = await next_of(events)
        assert isinstance(again, JobChanged)
        assert again.before is None
    assert world.live.follower_count == 0


async def test_many_who_come_at_once_share_one_tail(world: World) -> None:
    await world.create()
    await world.is_running()
    world.log(*range(1, 50))
    async with AsyncExitStack() as stack:
        feeds = await asyncio.gather(*(stack.enter_async_context(world.live.follow("demo")) for _ in range(50)))
        for events in feeds:
            first = await next_of(events)
            assert first.job.status.progress is not None
            assert first.job.status.progress.step == 49
        world.log(50)
        assert [await steps_of(events, 1) for events in feeds] == [[50]] * 50


async def test_an_unknown_job_cannot_be_followed(world: World) -> None:
    with pytest.raises(JobNotFoundError):
        async with world.live.follow("nothing"):
            pass


class BehindStore(Store):
    """A store whose cache has not heard of any job yet."""

    is_behind = True
    times_asked = 0

    def cached_job(self, name: str) -> JobView | None:
        self.times_asked += 1
        return None if self.is_behind else super().cached_job(name)


async def test_a_job_that_the_cache_does_not_have_yet_is_not_gone(world: World) -> None:
    store = BehindStore(world.client, "default")
    live = LiveFeed(store, Workspace(world.root), interval_seconds=0.02)
    store.start()
    await world.create()
    async with live.follow("demo") as events:
        assert isinstance(await next_of(events), JobChanged)

        async def was_asked_in_a_round() -> bool:
            live.wake("demo")
            return store.times_asked > 2

        await eventually(was_asked_in_a_round, "two rounds", within_seconds=60, every_seconds=0.005)
        store.is_behind = False
        world.set_status(phase="Running")
        changed = await next_of(events)
        assert isinstance(changed, JobChanged)
        assert changed.job.phase == "Running"
    await live.stop()
    await store.stop()


async def test_stop_ends_all(world: World) -> None:
    await world.create()
    async with following(world) as (_, one), world.live.follow_all() as all_events:
        await world.live.stop()
        for events in (one, all_events):
            with pytest.raises(StopAsyncIteration):
                await next_of(events)


async def test_a_reader_that_is_too_slow_is_cut_off() -> None:
    follower = Follower(capacity=3)
    event: Any = object()
    for _ in range(4):
        follower.put(event)
    assert follower.is_ended
    with pytest.raises(SlowFollowerError):
        await anext(follower)


async def test_what_waits_is_read_before_the_end() -> None:
    follower = Follower()
    event: Any = object()
    follower.put(event)
    follower.end()
    follower.put(event)
    assert [one async for one in follower] == [event]
