import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fettle_api.resources.store import Store
from fettle_client.protocol import PODS, TRAINING_JOBS, UnavailableError
from fettle_schema.names import job_directory
from tests.support.facade import Facade, running_facade

TOKEN = "the-token-of-the-pod"
URL = "/progress/v1/namespaces/default/trainingjobs/demo/attempts/1"
STEP = {"time": "2026-01-01T12:00:00Z", "attempt": 1, "kind": "step", "stage": "training", "step": 1, "totalSteps": 10}
SPEC = {"baseModel": {"id": "a/b"}, "dataset": {"source": {"huggingFace": {"id": "c/d"}}}}


@pytest.fixture
async def facade(tmp_path: Path) -> AsyncIterator[Facade]:
    async with running_facade(tmp_path, progress_interval_seconds=0.2) as running:
        await make_running_job(running)
        yield running


async def make_running_job(facade: Facade) -> None:
    metadata = {"name": "demo", "namespace": "default"}
    manifest = {"apiVersion": "fettle.dev/v1alpha1", "kind": "TrainingJob", "metadata": metadata, "spec": SPEC}
    created = await facade.client.create(TRAINING_JOBS, manifest)
    await facade.set_status("demo", phase="Running", attempts={"current": 1})
    facade.add_pod("demo-a1-x", created["metadata"]["uid"], TOKEN)


async def post(facade: Facade, body: Any = STEP, url: str = URL, token: str = TOKEN, **options: Any) -> httpx.Response:
    async with facade.caller(None) as caller:
        headers = {"authorization": f"Bearer {token}", **options.pop("headers", {})}
        if "content" not in options:
            options["json"] = body
        return await caller.post(url, headers=headers, **options)


def stored(facade: Facade) -> dict[str, Any]:
    job = facade.client.item(TRAINING_JOBS, "demo")
    assert job is not None
    status: dict[str, Any] = job["status"]
    return status


async def until_progress(facade: Facade, **wanted: Any) -> None:
    async with asyncio.timeout(5):
        while not wanted.items() <= stored(facade).get("progress", {}).items():  # noqa: ASYNC110 - the client has no event
            await asyncio.sleep(0.01)


def reviews(facade: Facade) -> int:
    return sum(call.kind == "TokenReview" for call in facade.client.calls)


def writes(facade: Facade) -> int:
    return sum(call.verb == "apply_status" for call in facade.client.calls)


async def test_a_report_becomes_progress(facade: Facade) -> None:
    answer = await post(facade)
    assert (answer.status_code, answer.json()) == (200, {"accepted": True})
    await until_progress(facade, step=1, percent=10.0, summary="1/10", stage="training")
    assert stored(facade)["phase"] == "Running"


async def test_many_reports_become_few_writes_and_the_last_one_counts(facade: Facade) -> None:
    for step in range(1, 51):
        await post(facade, {**STEP, "step": step, "totalSteps": 50, "loss": 50.0 / step})
    await until_progress(facade, step=50, loss=1.0)
    assert writes(facade) < 20


async def test_running_jobs_are_not_counted_for_each_report(facade: Facade, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    original = Store.count_jobs

    def counted(store: Store, wanted: Any) -> int:
        counts.append(original(store, wanted))
        return counts[-1]

    monkeypatch.setattr(Store, "count_jobs", counted)
    begin = time.monotonic()
    for step in range(1, 51):
        answer = await post(facade, {**STEP, "step": step, "totalSteps": 50})
        assert answer.status_code == 200, answer.text
    await until_progress(facade, step=50)
    assert counts
    assert len(counts) <= 2 + (time.monotonic() - begin)


async def test_a_change_of_stage_is_written_before_the_interval_is_over(tmp_path: Path) -> None:
    async with running_facade(tmp_path, progress_interval_seconds=600) as facade:
        await make_running_job(facade)
        await post(facade, {**STEP, "step": None, "stage": "loading_model", "kind": "stage"})
        await until_progress(facade, stage="loading_model")
        await post(facade, {**STEP, "step": None, "stage": "training", "kind": "stage"})
        await until_progress(facade, stage="training")
        await post(facade)
        await until_progress(facade, step=1)
        await post(facade, {**STEP, "step": 2})
        await post(facade, {**STEP, "step": 2, "stage": "evaluating"})
        await until_progress(facade, step=2, stage="evaluating")


async def test_what_is_left_is_written_when_the_facade_stops(tmp_path: Path) -> None:
    async with running_facade(tmp_path, progress_interval_seconds=600) as facade:
        await make_running_job(facade)
        await post(facade)
        await until_progress(facade, step=1)
        await post(facade, {**STEP, "step": 7})
    assert stored(facade)["progress"]["step"] == 7


async def test_checkpoints_are_kept(facade: Facade) -> None:
    job = facade.client.item(TRAINING_JOBS, "demo")
    assert job is not None
    path = f"{job_directory('demo', job['metadata']['uid'])}/attempts/1/checkpoints/checkpoint-5"
    checkpoint = {"name": "checkpoint-5", "step": 5, "attempt": 1, "path": path}
    answer = await post(facade, {**STEP, "kind": "checkpoint", "checkpoint": checkpoint})
    assert answer.status_code == 200
    await until_progress(facade, step=1)
    assert stored(facade)["checkpoints"] == [checkpoint]


async def test_the_report_of_transformers_own_callback(facade: Facade) -> None:
    metrics = [
        {"name": "loss", "value": "1.25"},
        {"name": "current_step", "value": "3"},
        {"name": "total_steps", "value": "6"},
    ]
    body = {
        "trainerStatus": {"lastUpdatedTime": "2026-01-01T12:00:00+00:00", "progressPercentage": 50, "metrics": metrics}
    }
    assert (await post(facade, body)).status_code == 200
    await until_progress(facade, step=3, loss=1.25, percent=50.0)


async def test_reports_and_writes_are_counted_by_what_came_of_them(facade: Facade) -> None:
    await post(facade)
    await until_progress(facade, step=1)
    await post(facade, {"attempt": "x"})
    await post(facade, token="of somebody else")
    facade.client.fail_next("create", UnavailableError(503, "ServiceUnavailable", "away"))
    assert (await post(facade, token="that is new")).status_code >= 500
    async with facade.caller(None) as caller:
        found = (await caller.get("/metrics")).text.splitlines()
    for outcome, count in {"accepted": 1, "refused": 2, "failed": 1}.items():
        assert f'fettle_api_progress_reports_total{{outcome="{outcome}"}} {count}.0' in found
    assert any(line.startswith('fettle_api_progress_writes_total{outcome="written"}') for line in found)


async def test_a_token_is_reviewed_once(facade: Facade) -> None:
    for _ in range(5):
        assert (await post(facade)).status_code == 200
    assert reviews(facade) == 1
    for _ in range(3):
        assert (await post(facade, token="wrong")).status_code == 401
    assert reviews(facade) == 2


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({**STEP, "attempt": 2}, "attempt"),
        ({**STEP, "unknown": 1}, "unknown"),
        ({**STEP, "time": "yesterday"}, "time"),
        ({**STEP, "time": "2026-01-01T12:00:00"}, "time zone"),
        ({"trainerStatus": {}}, "lastUpdatedTime"),
        ({**STEP, "checkpoint": {"name": "c", "step": 1, "attempt": 1, "path": "../../etc"}}, "checkpoint.path"),
        (
            {**STEP, "checkpoint": {"name": "../c", "step": 1, "attempt": 1, "path": "huggingface/token"}},
            "checkpoint.path",
        ),
        ([], "object"),
    ],
)
async def test_a_bad_report_is_refused(facade: Facade, body: Any, said: str) -> None:
    answer = await post(facade, body)
    assert answer.status_code == 400
    assert said in answer.json()["message"]


async def test_a_report_beyond_the_limit_is_refused(facade: Facade) -> None:
    assert (await post(facade, content=b" " * 70_000)).status_code == 413


@pytest.mark.parametrize(
    "url",
    [
        URL.replace("default", "other"),
        URL.replace("demo", "unknown"),
        URL.replace("attempts/1", "attempts/2"),
    ],
)
async def test_a_token_is_for_one_attempt_of_one_job(facade: Facade, url: str) -> None:
    assert (await post(facade, url=url)).status_code == 401


@pytest.mark.parametrize("attempt", ["0", "-1", "x", "1234567", "²"])
async def test_what_is_no_attempt_is_refused(facade: Facade, attempt: str) -> None:
    assert (await post(facade, url=URL.replace("attempts/1", f"attempts/{attempt}"))).status_code == 403


async def test_no_token_is_refused(facade: Facade) -> None:
    async with facade.caller(None) as caller:
        answer = await caller.post(URL, json=STEP)
    assert answer.status_code == 401
    assert "Bearer" in answer.headers["www-authenticate"]


async def test_a_token_that_is_bound_to_no_pod_is_refused(facade: Facade) -> None:
    uid = facade.client.items(TRAINING_JOBS)[0]["metadata"]["uid"]
    facade.add_pod("demo-a1-y", uid, TOKEN, extra={})
    assert (await post(facade)).status_code == 403


async def test_a_pod_of_another_namespace_is_refused_whatever_its_audience(facade: Facade) -> None:
    uid = facade.client.items(TRAINING_JOBS)[0]["metadata"]["uid"]
    facade.add_pod("demo-a1-y", uid, TOKEN, username="system:serviceaccount:other:default")
    assert (await post(facade)).status_code == 403


async def test_a_pod_of_another_job_is_refused(facade: Facade) -> None:
    facade.add_pod("stranger", "00000000-0000-0000-0000-000000000000", TOKEN)
    assert (await post(facade)).status_code == 403


async def test_a_pod_that_was_replaced_is_refused(facade: Facade) -> None:
    await facade.client.delete(PODS, "demo-a1-x", "default")
    assert (await post(facade)).status_code == 403


async def test_an_attempt_that_is_over_is_refused(facade: Facade) -> None:
    await facade.set_status("demo", phase="Running", attempts={"current": 2})
    assert (await post(facade)).status_code == 403


async def test_a_job_that_has_ended_takes_no_reports(facade: Facade) -> None:
    await facade.set_status("demo", phase="Succeeded", attempts={"current": 1})
    assert (await post(facade)).status_code == 409


async def test_the_token_is_in_no_answer_and_no_resource(facade: Facade, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    answers = [await post(facade), await post(facade, {"attempt": "x"})]
    await until_progress(facade, step=1)
    assert TOKEN not in caplog.text
    assert TOKEN not in "".join(answer.text for answer in answers)
    assert TOKEN not in str(facade.client.items(TRAINING_JOBS))
