from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.facade import Facade, running_facade
from tests.support.finished_jobs import OUTPUT_OF_ADAPTER
from tests.support.websocket_caller import RefusedError, WebSocketCaller, connected


@pytest.fixture
async def facade(tmp_path: Path) -> AsyncIterator[Facade]:
    async with running_facade(tmp_path) as running:
        yield running


async def post(facade: Facade, path: str, body: Any) -> Any:
    async with facade.caller("milady") as caller:
        answer = await caller.post(f"/api/training/{path}", json=body)
    assert answer.is_success, answer.text
    return answer.json()


async def next_of(socket: WebSocketCaller, kind: str) -> dict[str, Any]:
    """The next event of this kind."""
    while True:
        message = await socket.receive()
        assert message["type"] == "training_event"
        if message["payload"]["kind"] == kind:
            payload: dict[str, Any] = message["payload"]
            return payload


async def test_status_first_then_what_happens(facade: Facade) -> None:
    before = (await post(facade, "jobs", {"model": "a/b"}))["job"]["id"]
    await facade.set_status(before, phase="Failed")
    async with connected(facade.app.state.ports["milady"], "/ws") as socket:
        status = await socket.receive()
        assert (status["type"], status["available"], status["failedJobs"]) == ("status", True, 1)
        job = (await post(facade, "jobs", {"model": "a/b"}))["job"]["id"]
        assert (await socket.receive())["payload"]["jobId"] == job
        with (facade.job_path(job) / "metrics.jsonl").open("a") as metrics:
            await facade.set_status(job, phase="Running")
            for step in (1, 2):
                report = {"time": "2026-01-01T12:00:01Z", "attempt": 1, "step": step, "totalSteps": 2, "loss": 1.5}
                metrics.write(f"{report}\n".replace("'", '"'))
                metrics.flush()
        steps: list[str] = []
        while len(steps) < 2:
            told = await next_of(socket, "job_progress")
            steps += [told["message"]] if "step" in told["message"] else []
        assert steps == ["step 1/2, loss 1.5000", "step 2/2, loss 1.5000"]
        await facade.set_status(job, phase="Succeeded", output=OUTPUT_OF_ADAPTER)
        assert (await next_of(socket, "job_completed"))["modelId"] == f"model-{job}"
        await post(facade, f"models/model-{job}/activate", {"providerModel": "m"})
        assert (await next_of(socket, "model_activated"))["modelId"] == f"model-{job}"
        dataset = (await post(facade, "datasets/build", {}))["dataset"]["id"]
        assert (await next_of(socket, "dataset_built"))["datasetId"] == dataset


async def test_a_client_may_ask_whether_anybody_is_there(facade: Facade) -> None:
    async with connected(facade.app.state.ports["milady"], "/ws") as socket:
        await socket.receive()
        for text in ("{", "\ud83d", '{"type": "other"}', '{"type": "ping"}'):
            await socket.send_text(text)
        assert await socket.receive() == {"type": "pong"}


async def test_pages_of_others_may_not_listen(facade: Facade) -> None:
    with pytest.raises(RefusedError):
        async with connected(facade.app.state.ports["milady"], "/ws", {"origin": "https://evil.example"}):
            pass
