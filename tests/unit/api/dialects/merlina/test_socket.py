"""Merlina's WebSocket through the whole application, guard included."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fettle_api.dialects.merlina.translate import name_of_id
from tests.support.facade import Facade, running_facade
from tests.support.websocket_caller import RefusedError, WebSocketCaller, connected

CONFIG = {
    "output_name": "x",
    "base_model": "a/b",
    "dataset": {"source": {"source_type": "huggingface", "repo_id": "c/d"}},
}
KEY = "k" * 32


@asynccontextmanager
async def following(facade: Facade, job_id: str, **options: Any) -> AsyncIterator[WebSocketCaller]:
    async with connected(facade.app.state.ports["merlina"], f"/ws/{job_id}", **options) as caller:
        yield caller


async def submitted(facade: Facade) -> tuple[str, str]:
    async with facade.caller("merlina") as caller:
        job_id = (await caller.post("/train", json=CONFIG)).json()["job_id"]
    name = name_of_id(job_id)
    assert name is not None
    return job_id, name


def log_step(facade: Facade, name: str, step: int, **more: Any) -> None:
    event = {
        "time": f"2026-01-01T12:00:{step:02}Z",
        "attempt": 1,
        "kind": "step",
        "stage": "training",
        "step": step,
        "totalSteps": 4,
        "loss": 2.0 - step / 10,
        "learningRate": 5e-6,
        "gradNorm": 0.15,
        **more,
    }
    with (facade.job_path(name) / "metrics.jsonl").open("a") as file:
        file.write(json.dumps(event) + "\n")


async def test_a_job_from_the_queue_to_its_end(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        job_id, name = await submitted(facade)
        async with following(facade, job_id) as caller:
            first = await caller.receive()
            assert isinstance(first.pop("timestamp"), float)
            assert first == {"type": "status_update", "job_id": job_id, "status": "queued", "progress": 0.0}
            await facade.set_status(name, phase="Running", startTime="2026-01-01T12:00:00Z")
            assert (await caller.receive())["status"] == "initializing"
            for step in (1, 2):
                log_step(facade, name, step)
                metrics, update = await caller.receive(), await caller.receive()
                assert metrics == {
                    "type": "metrics",
                    "job_id": job_id,
                    "step": step,
                    "metrics": {"loss": 2.0 - step / 10, "learning_rate": 5e-6, "grad_norm": 0.15},
                    "timestamp": 1767268800.0 + step,
                }
                assert update == {
                    "type": "status_update",
                    "job_id": job_id,
                    "status": "training",
                    "progress": step / 4,
                    "current_step": step,
                    "total_steps": 4,
                    "loss": 2.0 - step / 10,
                    "learning_rate": 5e-6,
                    "timestamp": 1767268800.0 + step,
                }
            log_step(facade, name, 2, kind="evaluation", evalLoss=1.9)
            metrics, update = await caller.receive(), await caller.receive()
            assert metrics["metrics"] == {"loss": 1.8, "eval_loss": 1.9, "learning_rate": 5e-6, "grad_norm": 0.15}
            assert update["eval_loss"] == 1.9
            output = {"kind": "adapter", "path": "adapters/x/0123", "digest": "sha256:0"}
            started = "2026-01-01T12:00:00Z"
            await facade.set_status(name, phase="Succeeded", startTime=started, output=output)
            assert (await caller.receive())["status"] == "completed"
            last = await caller.receive()
            assert isinstance(last.pop("timestamp"), float)
            assert last == {
                "type": "completed",
                "job_id": job_id,
                "output_dir": "adapters/x/0123",
                "final_metrics": {"final_loss": 1.8, "final_eval_loss": 1.9},
            }
            await caller.send_text("are you there?")
            assert await caller.receive() == {"type": "heartbeat", "status": "ok"}


async def test_a_job_that_fails_says_why_last(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        job_id, name = await submitted(facade)
        async with following(facade, job_id) as caller:
            await caller.receive()
            await facade.set_status(name, phase="Failed", failure={"code": "OutOfMemory", "message": "out of memory"})
            messages = await caller.receive_until("error")
            assert [message["type"] for message in messages] == ["status_update", "error"]
            assert (messages[-1]["job_id"], messages[-1]["error"]) == (job_id, "out of memory")


async def test_who_comes_after_the_end_is_told_how_it_ended(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        job_id, name = await submitted(facade)
        await facade.set_status(name, phase="Succeeded", progress={"percent": 100, "loss": 0.5})
        async with following(facade, job_id) as caller:
            assert [message["type"] for message in await caller.receive_until("completed")] == [
                "status_update",
                "completed",
            ]


async def test_a_reconnect_gets_no_step_twice(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        job_id, name = await submitted(facade)
        await facade.set_status(name, phase="Running")
        async with following(facade, job_id) as caller:
            await caller.receive()
            log_step(facade, name, 1)
            assert (await caller.receive())["step"] == 1
        async with following(facade, job_id) as caller:
            first = await caller.receive()
            assert (first["type"], first["current_step"]) == ("status_update", 1)
            log_step(facade, name, 2)
            assert (await caller.receive())["step"] == 2


async def test_a_job_of_kubectl_is_followed_by_its_name(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        spec = {"baseModel": {"id": "a/b"}, "dataset": {"source": {"huggingFace": {"id": "c/d"}}}}
        manifest = {
            "apiVersion": "fettle.dev/v1alpha1",
            "kind": "TrainingJob",
            "metadata": {"name": "by-hand", "namespace": "default"},
            "spec": spec,
        }
        await facade.app.state.store.create_job(manifest)
        async with following(facade, "by-hand") as caller:
            assert (await caller.receive())["job_id"] == "by-hand"


async def test_a_job_that_is_deleted_while_it_runs_ends_with_an_error(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        job_id, name = await submitted(facade)
        await facade.set_status(name, phase="Running", startTime="2026-01-01T12:00:00Z")
        async with following(facade, job_id) as caller, facade.caller("merlina") as http:
            await caller.receive()
            await http.delete(f"/jobs/{job_id}")
            assert (await caller.receive_until("error"))[-1]["error"] == "Job deleted"


@pytest.mark.parametrize("job_id", ["job_20250116_143022", "No Such Id", ".."])
async def test_an_unknown_job_is_refused_in_the_dialects_shape(tmp_path: Path, job_id: str) -> None:
    async with running_facade(tmp_path) as facade:
        with pytest.raises(RefusedError) as refused:
            async with following(facade, job_id):
                pass
    assert (refused.value.status, json.loads(refused.value.body)) == (404, {"detail": "Job not found"})


@pytest.mark.parametrize("headers", [{"origin": "https://evil.example"}, {"host": "rebound.evil.com"}])
async def test_foreign_pages_and_hosts_are_refused(tmp_path: Path, headers: dict[str, str]) -> None:
    async with running_facade(tmp_path) as facade:
        job_id, _ = await submitted(facade)
        with pytest.raises(RefusedError) as refused:
            async with following(facade, job_id, headers=headers):
                pass
        assert refused.value.status == 403
        with pytest.raises(RefusedError):
            async with following(facade, job_id, headers=headers, extensions={}):
                pass


async def test_a_key_is_needed_where_there_is_one(tmp_path: Path) -> None:
    key_file, root = tmp_path / "key", tmp_path / "workspace"
    key_file.write_text(KEY)
    root.mkdir()
    keyed = running_facade(root, authentication="apikey", api_key_file=key_file, host="0.0.0.0")
    async with keyed as facade:
        with pytest.raises(RefusedError) as refused:
            async with following(facade, "job_1"):
                pass
        assert refused.value.status == 401
        with pytest.raises(RefusedError) as refused:
            async with following(facade, "job_20250116_143022", headers={"x-api-key": KEY}):
                pass
        assert refused.value.status == 404


async def test_five_hundred_follow_one_job(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        job_id, name = await submitted(facade)
        await facade.set_status(name, phase="Running")
        callers: list[Any] = [following(facade, job_id) for _ in range(500)]
        sockets = [await caller.__aenter__() for caller in callers]
        log_step(facade, name, 1)
        for socket in sockets:
            assert [message["type"] for message in await socket.receive_until("metrics")] == [
                "status_update",
                "metrics",
            ]
        async with facade.caller("merlina") as caller:
            stats = (await caller.get("/stats")).json()
        assert stats["websockets"] == {"total_connections": 500}
        for caller in callers:
            await caller.__aexit__(None, None, None)
