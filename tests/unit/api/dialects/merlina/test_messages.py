from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any

from fettle_api.dialects.merlina.messages import messages_of
from fettle_api.progress.events import JobChanged, JobGone, JobReported, LiveEvent
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job
from fettle_schema.run import ProgressEvent

NOW = datetime(2026, 1, 1, 13, tzinfo=UTC)


def job(spec: dict[str, Any] | None = None, **status: Any) -> JobView:
    metadata = {"name": "demo", "uid": "u", "creationTimestamp": "2026-01-01T12:00:00Z"}
    return view_job({"metadata": metadata, "spec": {"baseModel": {"id": "a/b"}, **(spec or {})}, "status": status})


async def said(*events: LiveEvent, metrics: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
    async def all_events() -> AsyncIterator[LiveEvent]:
        for event in events:
            yield event

    async def final_metrics(_: JobView) -> Mapping[str, Any]:
        return metrics or {}

    return [message async for message in messages_of(all_events(), lambda: NOW, final_metrics)]


def step(number: int, **fields: Any) -> ProgressEvent:
    return ProgressEvent(time=NOW, attempt=1, step=number, **fields)


async def test_metrics_come_before_the_state_of_the_same_step() -> None:
    running = job(phase="Running", progress={"stage": "training", "step": 1})
    messages = await said(JobChanged(job()), JobReported(running, step(1, loss=1.0)))
    assert [message["type"] for message in messages] == ["status_update", "metrics", "status_update"]


async def test_a_state_that_says_nothing_new_is_not_repeated() -> None:
    running = job(phase="Running", progress={"stage": "training"})
    messages = await said(
        JobChanged(running), JobChanged(job(phase="Running", reason="Other", progress={"stage": "training"}))
    )
    assert len(messages) == 1


async def test_a_change_of_stage_has_no_metrics() -> None:
    loading = job(phase="Running", progress={"stage": "loading_model"})
    event = ProgressEvent(time=NOW, attempt=1, kind="stage")
    assert [message["type"] for message in await said(JobReported(loading, event))] == ["status_update"]


async def test_a_step_that_is_not_logged_has_no_metrics() -> None:
    running = job(phase="Running", progress={"stage": "training", "step": 1})
    assert [message["type"] for message in await said(JobReported(running, step(1, tokens=53)))] == ["status_update"]


async def test_numbers_that_json_does_not_have_are_left_out() -> None:
    running = job(phase="Running", progress={"stage": "training", "step": 1, "loss": float("nan")})
    metrics, update = await said(JobReported(running, step(1, loss=float("nan"), learning_rate=1e-5)))
    assert metrics["metrics"] == {"learning_rate": 1e-5}
    assert "loss" not in update


async def test_memory_is_that_of_a_gpu_in_gigabytes() -> None:
    progress = {"stage": "training", "peakMemoryBytes": 13_421_772_800}
    (update,) = await said(JobChanged(job(phase="Running", progress=progress)))
    assert update["gpu_memory"] == 12.5
    on_cpu = job({"resources": {"gpusPerNode": 0}}, phase="Running", progress=progress)
    (update,) = await said(JobChanged(on_cpu))
    assert "gpu_memory" not in update


async def test_the_final_numbers_are_those_of_the_trainer() -> None:
    done = job(phase="Succeeded", progress={"loss": 0.5, "evalLoss": 0.6})
    last = (await said(JobChanged(done), metrics={"loss": 0.1234, "evalLoss": "odd"}))[-1]
    assert last["final_metrics"] == {"final_loss": 0.1234, "final_eval_loss": 0.6}


async def test_a_stopped_job_ends_with_its_state() -> None:
    stopped = job(phase="Cancelled", startTime="2026-01-01T12:00:00Z")
    messages = await said(JobChanged(stopped), JobChanged(job()))
    assert [(message["type"], message["status"]) for message in messages] == [("status_update", "stopped")]


async def test_a_job_that_is_gone() -> None:
    messages = await said(JobChanged(job()), JobGone(job()))
    assert (messages[-1]["type"], messages[-1]["error"]) == ("error", "Job deleted")
