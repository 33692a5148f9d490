import asyncio
import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from fettle_api.__main__ import JsonFormatter
from fettle_api.app import create_app
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.logs import WorkspaceLogs
from fettle_api.server import Servers
from fettle_api.settings import ApiSettings
from fettle_client.protocol import TRAINING_JOBS
from tests.support.facade import ReviewingClient, running_facade

JOBS = "/api/training/jobs"
KEY = "k" * 32
_BARE = {"apiVersion": "fettle.dev/v1alpha1", "kind": "TrainingJob"}
_DATA = {"dataset": {"source": {"huggingFace": {"id": "a/b"}}}}


async def test_health_needs_no_key(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(KEY)
    keyed = running_facade(tmp_path, authentication="apikey", api_key_file=key_file, host="0.0.0.0")
    async with keyed as facade, facade.caller(None) as caller:
        assert (await caller.get("/healthz")).json() == {"status": "ok"}
        await facade.app.state.store.list_jobs()
        assert (await caller.get("/readyz")).status_code == 200


async def test_not_ready_before_the_first_list(tmp_path: Path) -> None:
    app = create_app(
        ApiSettings(cache_timeout_seconds=0.05), ReviewingClient(), tmp_path, WorkspaceLogs(Workspace(tmp_path))
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as caller:
        assert (await caller.get("/healthz")).status_code == 200
        assert (await caller.get("/readyz")).status_code == 503
        assert (await caller.get(f"/ainode{JOBS}")).status_code == 503


async def test_a_job_is_answered_before_the_first_list_has_come(tmp_path: Path) -> None:
    client = ReviewingClient()
    metadata = {"name": "demo", "namespace": "default"}
    await client.create(TRAINING_JOBS, {"metadata": metadata, **_BARE, "spec": {"baseModel": {"path": "m"}, **_DATA}})
    app = create_app(ApiSettings(cache_timeout_seconds=0.05), client, tmp_path, WorkspaceLogs(Workspace(tmp_path)))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost") as caller:
        assert (await caller.get(f"/ainode{JOBS}/demo")).status_code == 200
        assert (await caller.get(f"/ainode{JOBS}/other")).status_code == 404
        assert (await caller.get(f"/ainode{JOBS}")).status_code == 503


async def test_a_dead_watch_is_no_health(tmp_path: Path) -> None:
    client = ReviewingClient()
    client.fail_next("list", RuntimeError("a bug"), TRAINING_JOBS)
    app = create_app(ApiSettings(), client, tmp_path, WorkspaceLogs(Workspace(tmp_path)))
    caller = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://localhost")
    async with app.router.lifespan_context(app), caller, asyncio.timeout(5):
        while (await caller.get("/healthz")).status_code != 503:  # noqa: ASYNC110 - nothing to wait on
            await asyncio.sleep(0.01)
        assert (await caller.get("/readyz")).status_code == 503


async def test_without_the_key_nothing_is_served_in_the_dialects_shape(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text(KEY)
    keyed = running_facade(tmp_path, authentication="apikey", api_key_file=key_file, host="0.0.0.0")
    async with keyed as facade, facade.caller() as caller:
        for path in (JOBS, "/nothing"):
            answer = await caller.get(path)
            assert answer.status_code == 401
            assert answer.json().keys() == {"error"}
            assert "Bearer" in answer.headers["www-authenticate"]
        assert (await caller.get(JOBS, headers={"x-api-key": KEY})).status_code == 200


async def test_a_foreign_host_is_refused(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        answer = await caller.get(JOBS, headers={"host": "rebound.evil.com"})
        assert answer.status_code == 403
        assert "ALLOWED_HOSTS" in answer.json()["error"]


async def test_a_dialect_is_served_below_its_prefix_too(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller(None) as caller:
        made = await caller.post(f"/ainode{JOBS}", json={"base_model": "a/b", "dataset_path": "d"})
        job_id = made.json()["job_id"]
        name = facade.client.items(TRAINING_JOBS)[0]["metadata"]["name"]
        directory = facade.root / "adapters/x/0123"
        directory.mkdir(parents=True)
        (directory / "a b#?.txt").write_text("content")
        output = {"kind": "adapter", "path": "adapters/x/0123", "digest": "sha256:0"}
        await facade.set_status(name, phase="Succeeded", output=output)
        (file,) = (await caller.get(f"/ainode{JOBS}/{job_id}/output")).json()["files"]
        assert file["download_url"] == f"/ainode{JOBS}/{job_id}/output/a%20b%23%3F.txt"
        assert (await caller.get(file["download_url"])).text == "content"


async def test_a_dialect_of_the_main_port_has_its_own_prefix_document_and_page(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller(None) as caller:
        document = (await caller.get("/v1/openapi.json")).json()
        assert document["servers"] == [{"url": "/v1"}]
        assert "/fine_tuning/jobs" in document["paths"]
        page = (await caller.get("/v1/docs")).text
        assert "fine_tuning" in page
        assert "https://" not in page
        assert (await caller.get("/openai/files")).status_code == 404
        assert (await caller.get("/v1/a%0ab")).json().keys() == {"error"}
        assert "openai" not in facade.app.state.ports


@pytest.mark.parametrize("path", ["/", "/ainode", "/ainode/nothing", "/docs", "/openapi.json", "/api/training/jobs"])
async def test_other_paths_of_the_main_port_are_404(tmp_path: Path, path: str) -> None:
    async with running_facade(tmp_path) as facade, facade.caller(None) as caller:
        assert (await caller.get(path)).status_code == 404


async def test_an_unexpected_error_says_nothing_internal(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        facade.client.fail_next("create", RuntimeError("the password is swordfish"), TRAINING_JOBS)
        answer = await caller.post(JOBS, json={"base_model": "a/b", "dataset_path": "d"})
    assert (answer.status_code, answer.json()) == (500, {"error": "Internal server error"})
    assert "RuntimeError" in caplog.text
    assert "swordfish" not in caplog.text


@pytest.mark.parametrize(("given", "kept"), [("abc-123", True), ("x" * 65, False), ("a b", False), ('"', False)])
async def test_request_ids(tmp_path: Path, given: str, kept: bool) -> None:
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        answer = await caller.get(JOBS, headers={"x-request-id": given})
        assert (answer.headers["x-request-id"] == given) is kept


async def test_the_access_log_holds_no_query_and_no_header(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "fettle_api.access")
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        await caller.get(f"{JOBS}?token=in-query", headers={"authorization": "Bearer in-header"})
    (record,) = [record for record in caplog.records if record.name == "fettle_api.access"]
    line = json.loads(JsonFormatter().format(record))
    assert (line["method"], line["path"], line["status"]) == ("GET", JOBS, 200)
    assert "in-query" not in str(line)
    assert "in-header" not in str(line)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {"workspace": tmp_path, "port": 0, "dialect_ports": {"ainode": 0}}


def no_delay(server: Any) -> list[bool]:
    """Whether each open connection of a server has TCP_NODELAY."""
    transports = [connection.transport for connection in server.server_state.connections]
    sockets = [transport.get_extra_info("socket") for transport in transports]
    return [bool(one.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)) for one in sockets]


async def test_each_dialect_has_a_port_of_its_own(tmp_path: Path, settings: dict[str, Any]) -> None:
    values = ApiSettings(**settings)
    servers = Servers(create_app(values, ReviewingClient(), tmp_path, WorkspaceLogs(Workspace(tmp_path))), values)
    await servers.start()
    try:
        async with httpx.AsyncClient(trust_env=False) as caller:
            main, ainode = (f"http://127.0.0.1:{servers.ports[name]}" for name in ("main", "ainode"))
            assert (await caller.get(f"{main}/healthz")).status_code == 200
            body = b'{"base_model": "a/b", "dataset_path": "d"}'
            made = await caller.post(f"{ainode}{JOBS}", content=body)
            assert made.status_code == 201
            listed = (await caller.get(f"{main}/ainode{JOBS}")).json()["jobs"]
            assert [job["job_id"] for job in listed] == [made.json()["job_id"]]
            assert "server" not in made.headers
            sent_at_once = [no_delay(server) for server in servers._servers]
            assert sent_at_once == [[True], [True]], "the rest of an answer does not wait for an acknowledgement"
    finally:
        await asyncio.wait_for(servers.stop(), 30)


async def test_a_port_that_is_taken_is_named(tmp_path: Path, settings: dict[str, Any]) -> None:
    listener = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    taken = listener.sockets[0].getsockname()[1]
    values = ApiSettings(**{**settings, "dialect_ports": {"ainode": taken}})
    app = create_app(values, ReviewingClient(), tmp_path, WorkspaceLogs(Workspace(tmp_path)))
    with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{taken} for 'ainode'"):
        await Servers(app, values).start()
    listener.close()


async def test_a_port_for_an_unknown_dialect_is_refused(tmp_path: Path, settings: dict[str, Any]) -> None:
    values = ApiSettings(**{**settings, "dialect_ports": {"nope": 0}})
    app = create_app(values, ReviewingClient(), tmp_path, WorkspaceLogs(Workspace(tmp_path)))
    with pytest.raises(ValueError, match="unknown dialect 'nope'"):
        await Servers(app, values).start()
