"""Of several senders of webhooks, over a real API server, one sends."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

import pytest

from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.outbound import Outbound
from fettle_api.resources.store import Store
from fettle_api.webhooks.lease import LEASE_NAME, SenderLease
from fettle_api.webhooks.outbox import Outbox
from fettle_api.webhooks.sender import WebhookSender
from fettle_api.webhooks.signing import SigningKey
from fettle_client.kubernetes import KubernetesClient, connect
from fettle_client.protocol import LEASES, TRAINING_JOBS
from tests.support.http_receiver import Receiver, http_receiver
from tests.support.polling import eventually

KEY = SigningKey(bytes(32))
JOBS = 8


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with http_receiver(500) as running:
        yield running


@pytest.fixture
async def senders(cluster: Path, namespace: str, tmp_path: Path) -> AsyncIterator[list[WebhookSender]]:
    async with AsyncExitStack() as stack:
        made = []
        for number in range(3):
            client = await connect(str(cluster))
            stack.push_async_callback(client.close)
            store = Store(client, namespace)
            store.start()
            stack.push_async_callback(store.stop)
            outbox = Outbox(Workspace(tmp_path), WorkspaceWriter(tmp_path), KEY)
            lease = SenderLease(client, namespace, f"sender-{number}")
            outbound = Outbound(frozenset({"127.0.0.1"}))
            sender = WebhookSender(store, outbox, outbound, lease, KEY, now, lambda _: 0.1)
            sender.start()
            stack.push_async_callback(sender.stop)
            made.append(sender)
        yield made


async def test_each_message_comes_from_the_one_that_has_the_lease(
    senders: list[WebhookSender], receiver: Receiver, client: KubernetesClient, namespace: str, tmp_path: Path
) -> None:
    for number in range(JOBS):
        spec = {
            "baseModel": {"id": "a/b"},
            "dataset": {"source": {"workspace": {"path": "datasets/x"}}},
            "webhook": {"url": receiver.url, "format": "cluster"},
        }
        metadata = {"name": f"job-{number}", "namespace": namespace}
        await client.create(
            TRAINING_JOBS,
            {"apiVersion": "fettle.dev/v1alpha1", "kind": "TrainingJob", "metadata": metadata, "spec": spec},
        )
        status = {"phase": "Succeeded", "completionTime": now().isoformat()}
        await client.apply_status(TRAINING_JOBS, f"job-{number}", namespace, status, "fettle-operator")

    async def has_ended() -> bool:
        return len(list((tmp_path / "webhooks/sent").glob("*.json"))) == JOBS

    await eventually(has_ended, "all messages", 30)
    ids = [json.loads(received.body)["job_id"] for received in receiver.received]
    assert set(ids) == {f"job-{number}" for number in range(JOBS)}
    assert len(ids) == JOBS + 1

    async def is_released() -> bool:
        lease = await client.get(LEASES, LEASE_NAME, namespace)
        return lease["spec"].get("holderIdentity") in ("", None)

    await eventually(is_released, "the lease to be given back", 30)
