"""Merlina's WebSocket over a real connection: the server, its limits, and a client that stops reading."""

import asyncio
import json
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets import exceptions
from websockets.asyncio import client as client_of

from fettle_api.app import create_app
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.logs import WorkspaceLogs
from fettle_api.server import Servers
from fettle_api.settings import ApiSettings
from fettle_client.protocol import TRAINING_JOBS
from fettle_schema.names import job_directory
from tests.support.facade import ReviewingClient
from tests.support.polling import eventually

CONFIG = {
    "output_name": "x",
    "base_model": "a/b",
    "dataset": {"source": {"source_type": "huggingface", "repo_id": "c/d"}},
}


@dataclass
class Listening:
    """A facade that listens, and one job of it that runs."""

    ports: dict[str, int]
    job_id: str
    metrics: Path

    def log(self, *steps: int) -> None:
        event = {"time": "2026-01-01T12:00:00Z", "attempt": 1, "kind": "step", "totalSteps": 9, "loss": 1.0}
        with self.metrics.open("a") as file:
            file.write("".join(json.dumps({**event, "step": step}) + "\n" for step in steps))

    def connect(self, port: str = "merlina", prefix: str = "", **options: Any) -> Any:
        return client_of.connect(f"ws://127.0.0.1:{self.ports[port]}{prefix}/ws/{self.job_id}", **options)


@pytest.fixture
async def listening(tmp_path: Path) -> AsyncIterator[Listening]:
    client, settings = ReviewingClient(), ApiSettings(workspace=tmp_path, port=0, default_gpus=0)
    settings = settings.model_copy(update={"dialect_ports": {"merlina": 0}})
    servers = Servers(create_app(settings, client, tmp_path, WorkspaceLogs(Workspace(tmp_path))), settings)
    await servers.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{servers.ports['merlina']}") as http:
        job_id = (await http.post("/train", json=CONFIG)).json()["job_id"]
    job = client.items(TRAINING_JOBS)[0]
    client.set_status(TRAINING_JOBS, job["metadata"]["name"], {"phase": "Running"}, "default")
    directory = tmp_path / job_directory(job["metadata"]["name"], job["metadata"]["uid"])
    directory.mkdir(parents=True)
    yield Listening(servers.ports, job_id, directory / "metrics.jsonl")
    begin = time.monotonic()
    await servers.stop()
    assert time.monotonic() - begin < 15, "open connections do not hold up the end"


@pytest.mark.parametrize(("port", "prefix"), [("merlina", ""), ("main", "/merlina")])
async def test_a_step_arrives_on_both_ports(listening: Listening, port: str, prefix: str) -> None:
    async with listening.connect(port, prefix) as connection:
        assert json.loads(await connection.recv())["type"] == "status_update"
        listening.log(1)
        messages = [json.loads(await asyncio.wait_for(connection.recv(), 5)) for _ in range(2)]
        assert [message["type"] for message in messages][-2:] == ["metrics", "status_update"]
        await connection.send("hello")
        assert json.loads(await connection.recv()) == {"type": "heartbeat", "status": "ok"}


async def test_short_messages_are_not_compressed_for_clients_that_offer_it(listening: Listening) -> None:
    async with listening.connect(compression="deflate") as connection:
        assert "Sec-WebSocket-Extensions" in connection.request.headers
        assert "Sec-WebSocket-Extensions" not in connection.response.headers


async def test_refusals_are_answers(listening: Listening) -> None:
    for job_id, headers, status in (("job_20250116_143022", {}, 404), ("x", {"Origin": "https://evil.example"}, 403)):
        url = f"ws://127.0.0.1:{listening.ports['merlina']}/ws/{job_id}"
        with pytest.raises(exceptions.InvalidStatus) as refused:
            await client_of.connect(url, additional_headers=headers)
        assert refused.value.response.status_code == status
        assert json.loads(bytes(refused.value.response.body)).keys() == {"detail"}


async def test_a_huge_message_ends_the_connection(listening: Listening) -> None:
    async def until_closed(connection: Any) -> None:
        await connection.send("x" * 1_000_000)
        while True:
            await asyncio.wait_for(connection.recv(), 5)

    async with listening.connect() as connection:
        with pytest.raises(exceptions.ConnectionClosed):
            await until_closed(connection)


@pytest.mark.slow
async def test_a_client_that_stops_reading_is_dropped_and_the_others_are_not(listening: Listening) -> None:
    slow = socket.create_connection(("127.0.0.1", listening.ports["merlina"]))
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    key = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    host = f"GET /ws/{listening.job_id} HTTP/1.1\r\nHost: localhost\r\n"
    slow.sendall(f"{host}{key}Sec-WebSocket-Version: 13\r\n\r\n".encode())
    url, step = f"http://127.0.0.1:{listening.ports['merlina']}/stats", 0
    async with listening.connect() as connection, httpx.AsyncClient() as http:

        async def only_one_is_left() -> bool:
            nonlocal step
            listening.log(*range(step, step + 200))
            step += 200
            while json.loads(await asyncio.wait_for(connection.recv(), 5)).get("step") != step - 1:
                pass
            return bool((await http.get(url)).json()["websockets"]["total_connections"] == 1)

        await eventually(only_one_is_left, "the slow client was dropped", within_seconds=90, every_seconds=0.05)
    slow.close()
