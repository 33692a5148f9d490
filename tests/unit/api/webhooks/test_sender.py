import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.metrics import Metrics
from fettle_api.outbound import Outbound
from fettle_api.resources.store import Store
from fettle_api.webhooks.lease import SenderLease
from fettle_api.webhooks.outbox import Outbox
from fettle_api.webhooks.sender import WebhookSender
from fettle_api.webhooks.signing import SigningKey
from fettle_client.protocol import LEASES, TRAINING_JOBS
from tests.support.facade import running_facade
from tests.support.http_receiver import Receiver, http_receiver
from tests.support.memory_client import MemoryClient
from tests.support.polling import eventually

KEY = SigningKey(bytes(32))
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ENDED = {"phase": "Succeeded", "completionTime": "2026-01-01T11:59:00Z"}


class World:
    """One store of resources, one workspace, and as many senders as a test starts."""

    def __init__(self, root: Path) -> None:
        self.root, self.client, self.now = root, MemoryClient(), NOW
        self.metrics = Metrics()

    def add_job(self, name: str, url: str, status: dict[str, Any], form: str = "cluster") -> None:
        spec = {"baseModel": {"id": "a/b"}, "webhook": {"url": url, "format": form}}
        metadata = {"name": name, "namespace": "default", "creationTimestamp": "2026-01-01T11:00:00Z"}
        self.client.seed(TRAINING_JOBS, {"metadata": metadata, "spec": spec, "status": status})

    def waiting(self) -> int:
        return len(list((self.root / "webhooks/outbox").glob("*.json")))

    def attempts(self, result: str) -> float | None:
        return self.metrics.registry.get_sample_value("fettle_api_webhook_attempts_total", {"result": result})

    @asynccontextmanager
    async def sender(self, identity: str = "one", pause: float = 0.0) -> AsyncIterator[WebhookSender]:
        store = Store(self.client, "default")
        outbox = Outbox(Workspace(self.root), WorkspaceWriter(self.root), KEY)
        lease = SenderLease(self.client, "default", identity)
        outbound = Outbound(frozenset({"127.0.0.1"}))
        sender = WebhookSender(store, outbox, outbound, lease, KEY, lambda: self.now, lambda _: pause, self.metrics)
        store.start()
        sender.start()
        try:
            yield sender
        finally:
            await sender.stop()
            await store.stop()


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


async def until(receiver: Receiver, count: int) -> None:
    async def has_come() -> bool:
        return len(receiver.received) >= count

    await eventually(has_come, f"{count} messages", 60, 0.01)


async def until_idle(world: World) -> None:
    async def is_idle() -> bool:
        return world.waiting() == 0 and (world.root / "webhooks/sent").exists()

    await eventually(is_idle, "an empty outbox", 60, 0.01)


async def test_a_job_is_announced_once_when_it_has_ended(world: World) -> None:
    async with http_receiver() as receiver, world.sender():
        world.add_job("demo", receiver.url, {"phase": "Running"})
        world.client.set_status(TRAINING_JOBS, "demo", ENDED)
        await until(receiver, 1)
        await until_idle(world)
        world.client.set_status(TRAINING_JOBS, "demo", {**ENDED, "message": "done"})
        world.add_job("other", receiver.url, {**ENDED, "phase": "Cancelled"})
        await until(receiver, 2)
        await until_idle(world)
    bodies = [json.loads(received.body) for received in receiver.received]
    assert [(body["job_id"], body["status"]) for body in bodies] == [("demo", "completed"), ("other", "cancelled")]
    assert (world.attempts("delivered"), world.attempts("failed")) == (2, 0)
    assert world.client.items(LEASES)[0]["spec"]["holderIdentity"] == ""


async def test_jobs_without_a_webhook_are_nobodys_business(world: World) -> None:
    metadata = {"name": "quiet", "namespace": "default"}
    world.client.seed(TRAINING_JOBS, {"metadata": metadata, "spec": {"baseModel": {"id": "a/b"}}, "status": ENDED})
    async with http_receiver() as receiver, world.sender():
        world.add_job("demo", receiver.url, ENDED)
        await until_idle(world)
    assert len(receiver.received) == 1


async def test_a_sender_that_starts_again_sends_nothing_twice(world: World) -> None:
    async with http_receiver() as receiver:
        world.add_job("first", receiver.url, ENDED)
        async with world.sender("one"):
            await until_idle(world)
        async with world.sender("two"):
            world.add_job("second", receiver.url, ENDED)
            await until(receiver, 2)
            await until_idle(world)
    assert [json.loads(received.body)["job_id"] for received in receiver.received] == ["first", "second"]


async def test_what_waits_survives_a_restart_and_the_job(world: World) -> None:
    async with http_receiver(500) as receiver:
        world.add_job("demo", receiver.url, ENDED, "standard")
        async with world.sender("one", pause=60):
            await until(receiver, 1)
        await world.client.delete(TRAINING_JOBS, "demo", "default")
        world.now += timedelta(minutes=2)
        async with world.sender("two"):
            await until_idle(world)
    first, second = receiver.received
    assert first.body == second.body
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert first.headers["webhook-signature"] != second.headers["webhook-signature"]


async def test_a_receiver_that_was_down_gets_it_when_it_is_up(world: World) -> None:
    async with http_receiver() as receiver:
        port = receiver.port
    world.add_job("demo", receiver.url, ENDED)
    async with world.sender():

        async def was_tried() -> bool:
            files = list((world.root / "webhooks/outbox").glob("*.json"))
            return bool(files) and json.loads(files[0].read_text())["message"]["attempts"] >= 2

        await eventually(was_tried, "two attempts", 60, 0.02)
        async with http_receiver(503, port=port) as receiver:
            world.now += timedelta(minutes=1)
            await until(receiver, 2)
            await until_idle(world)
    assert len({received.headers["webhook-id"] for received in receiver.received}) == 1
    assert world.attempts("delivered") == 1
    assert (world.attempts("failed") or 0) >= 3


async def test_of_two_senders_one_sends(world: World) -> None:
    async with http_receiver() as receiver, world.sender("one"), world.sender("two"):
        for number in range(10):
            world.add_job(f"job-{number}", receiver.url, ENDED)
        await until(receiver, 10)
        await until_idle(world)
    assert len({json.loads(received.body)["job_id"] for received in receiver.received}) == 10


async def test_after_days_it_is_given_up(world: World) -> None:
    async with http_receiver(*[500] * 5000) as receiver:
        world.add_job("demo", receiver.url, ENDED)
        async with world.sender():
            await until(receiver, 2)
            world.now += timedelta(days=4)
            await until_idle(world)
    (note,) = (world.root / "webhooks/sent").glob("*.json")
    assert json.loads(note.read_text())["outcome"] == "abandoned"


async def test_who_wants_no_more_is_left_alone(world: World) -> None:
    async with http_receiver(410) as receiver, world.sender():
        world.add_job("demo", receiver.url, ENDED)
        await until_idle(world)
    assert len(receiver.received) == 1
    assert world.attempts("unwanted") == 1


async def test_a_job_that_ended_long_ago_is_not_announced(world: World) -> None:
    async with http_receiver() as receiver, world.sender():
        world.add_job("old", receiver.url, {**ENDED, "completionTime": "2025-12-01T00:00:00Z"})
        world.add_job("new", receiver.url, ENDED)
        await until_idle(world)
    assert [json.loads(received.body)["job_id"] for received in receiver.received] == ["new"]


async def test_a_full_workspace_holds_it_up_and_loses_nothing(small_disk: Path, caplog: Any) -> None:
    world = World(small_disk)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    async with http_receiver() as receiver, world.sender():
        world.add_job("demo", receiver.url, ENDED)

        async def is_held_up() -> bool:
            return "webhooks are held up" in caplog.text

        await eventually(is_held_up, "a full workspace", 60, 0.01)
        filler.unlink()
        world.add_job("next", receiver.url, ENDED)
        await until(receiver, 2)
        await until_idle(world)
    assert len(receiver.received) == 2


async def test_the_facade_sends_what_its_dialect_promised(tmp_path: Path) -> None:
    key_file, root = tmp_path / "key", tmp_path / "workspace"
    root.mkdir()
    key_file.write_text("whsec_" + base64.b64encode(bytes(32)).decode())
    settings = {"allowed_outbound_hosts": ["127.0.0.1"], "webhook_key_file": key_file}
    async with http_receiver() as receiver, running_facade(root, **settings) as facade:
        async with facade.caller("cluster") as caller:
            made = (await caller.post("/train", json={"webhook_url": receiver.url})).json()
        (job,) = facade.client.items(TRAINING_JOBS)
        failure = {"code": "X", "message": "no such dataset"}
        now = datetime.now(UTC).isoformat()
        await facade.set_status(job["metadata"]["name"], phase="Failed", failure=failure, completionTime=now)
        await until(receiver, 1)
    (received,) = receiver.received
    assert json.loads(received.body) == {"job_id": made["job_id"], "status": "failed", "error": "no such dataset"}
    assert received.headers["webhook-signature"].startswith("v1,")
