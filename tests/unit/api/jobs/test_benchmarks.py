import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from fettle_api.jobs.benchmarks import benchmark_name, benchmark_request, can_be_benchmarked
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job
from fettle_client.protocol import TRAINING_JOBS, Manifest
from fettle_schema.validation import admit
from tests.support.facade import Facade, running_facade
from tests.support.finished_jobs import finished_job, write
from tests.support.polling import eventually

OUTPUT = {"kind": "adapter", "path": "adapters/mine/0", "digest": "sha256:0"}
SPEC: dict[str, Any] = {
    "baseModel": {"id": "a/b", "revision": "main"},
    "dataset": {
        "source": {"workspace": {"path": "datasets/d", "version": "v1"}},
        "format": "messages",
        "evaluation": {"fraction": 0.1},
    },
    "hyperparameters": {"seed": 7, "maxSteps": 100, "learningRate": 1e-5, "maxLength": 512},
    "output": {"adapterName": "helper"},
    "resources": {"gpusPerNode": 4, "nodes": 2, "memory": "8Gi"},
    "credentials": {"secretName": "mine-credentials"},
}
SCORES = {"coherence": 0.87, "consistency": 0.91, "helpfulness": 0.84}
REPORT = {"scores": {name: {"value": value, "low": 0, "high": 1, "n": 4} for name, value in SCORES.items()}}


def job(phase: str = "Succeeded", spec: dict[str, Any] | None = None, output: Any = OUTPUT, **status: Any) -> JobView:
    metadata = {"name": "mine", "uid": "12345678-1", "creationTimestamp": "2026-01-01T12:00:00Z"}
    given = {"phase": phase, "output": output, **status}
    return view_job({"metadata": metadata, "spec": spec or SPEC, "status": given})


def test_the_same_data_seed_and_base_in_one_process() -> None:
    request = benchmark_request(job(adapter="helper"))
    manifest = {"apiVersion": "fettle.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": request.name}}
    spec = admit({**manifest, "spec": dict(request.spec)})["spec"]
    assert request.name == "benchmark-12345678-mine"
    assert spec["method"] == "benchmark"
    assert spec["baseModel"] == SPEC["baseModel"]
    assert spec["startFrom"] == {"adapter": "helper"}
    assert (spec["dataset"]["source"], spec["dataset"]["evaluation"]) == (
        SPEC["dataset"]["source"],
        SPEC["dataset"]["evaluation"],
    )
    settings = spec["hyperparameters"]
    assert (settings["seed"], settings["maxSteps"], settings["maxLength"]) == (7, 4, 512)
    assert "learningRate" not in settings
    assert (spec["resources"]["gpusPerNode"], spec["resources"]["nodes"], spec["resources"]["memory"]) == (1, 1, "8Gi")
    assert spec["credentials"] == SPEC["credentials"]


def test_a_full_model_is_scored_from_its_last_checkpoint() -> None:
    source = job(spec={**SPEC, "adapter": {"type": "none"}}, output={**OUTPUT, "kind": "model", "path": "models/x/0"})
    assert benchmark_request(source).spec["startFrom"] == {"trainingJob": "mine", "checkpoint": "latest"}


@pytest.mark.parametrize(
    ("source", "can"),
    [
        (job(), True),
        (job("Running"), False),
        (job(output=None), False),
        (job(output={**OUTPUT, "kind": "report"}), False),
        (job(spec={"method": "merge", "baseModel": {"id": "a/b"}}), False),
    ],
)
def test_what_can_be_benchmarked(source: JobView, can: bool) -> None:
    assert can_be_benchmarked(source) == can


@pytest.fixture
async def facade(tmp_path: Path) -> AsyncIterator[Facade]:
    async with running_facade(tmp_path, benchmark_wait_seconds=0.2) as running:
        yield running


async def ask(facade: Facade, job_name: str = "mine") -> httpx.Response:
    async with facade.caller("milady") as caller:
        headers = {"content-type": "application/json"}
        return await caller.post(f"/api/training/models/model-{job_name}/benchmark", headers=headers)


def benchmarks(facade: Facade) -> list[Manifest]:
    return [item for item in facade.client.items(TRAINING_JOBS) if item["spec"]["method"] == "benchmark"]


async def end(facade: Facade, report: Any = REPORT, **status: Any) -> str:
    """The benchmark succeeds."""
    (found,) = benchmarks(facade)
    name = found["metadata"]["name"]
    directory = facade.job_path(name).relative_to(facade.root)
    if report is not None:
        write(facade, f"{directory}/benchmark.json", report)
    output = {"kind": "report", "path": str(directory), "digest": "sha256:0"}
    ended = {"phase": "Succeeded", "completionTime": "2026-01-01T13:00:00Z", "output": output, **status}
    await facade.set_status(name, **ended)
    return str(name)


async def test_it_is_begun_once_and_asked_again(facade: Facade) -> None:
    await finished_job(facade, "mine")
    answers = await asyncio.gather(*(ask(facade) for _ in range(3)))
    assert [(answer.status_code, answer.json()) for answer in answers] == [
        (409, {"error": "Benchmark is still running"})
    ] * 3
    await end(facade)
    for _ in range(2):
        answer = await ask(facade)
        assert answer.status_code == 200
        told = answer.json()
        assert (told["modelId"], told["scores"], told["completedAt"]) == ("model-mine", SCORES, 1767272400000)


async def test_whoever_waits_gets_it_when_it_is_done(tmp_path: Path) -> None:
    async with running_facade(tmp_path, benchmark_wait_seconds=8) as facade:
        await finished_job(facade, "mine")
        asked = asyncio.create_task(ask(facade))

        async def is_begun() -> bool:
            return bool(benchmarks(facade))

        await eventually(is_begun, "the benchmark is there", 5, 0.01)
        await end(facade)
        assert (await asked).json()["scores"] == SCORES


async def test_one_that_failed_says_why(facade: Facade) -> None:
    await finished_job(facade, "mine")
    await ask(facade)
    (found,) = benchmarks(facade)
    failure = {"code": "DatasetInvalid", "message": "no example has a prompt"}
    await facade.set_status(found["metadata"]["name"], phase="Failed", failure=failure)
    answer = await ask(facade)
    assert answer.status_code == 409
    assert "no example has a prompt" in answer.json()["error"]
    assert found["metadata"]["name"] in answer.json()["error"]


@pytest.mark.parametrize("report", [None, [], {}, {"scores": 5}])
async def test_a_report_that_is_none(facade: Facade, report: Any) -> None:
    await finished_job(facade, "mine")
    await ask(facade)
    await end(facade, report)
    answer = await ask(facade)
    assert answer.status_code == 409
    assert "its report is gone" in answer.json()["error"]


async def test_scores_that_the_data_cannot_tell_are_null(facade: Facade) -> None:
    await finished_job(facade, "mine")
    await ask(facade)
    scores = {"coherence": {"value": 0.5}, "consistency": {"value": "high"}, "helpfulness": None}
    await end(facade, {"scores": scores})
    assert (await ask(facade)).json()["scores"] == {"coherence": 0.5, "consistency": None, "helpfulness": None}


async def test_models_of_some_dialects_are_benchmarked_by_themselves(facade: Facade) -> None:
    async with facade.caller("milady") as caller:
        ours = (await caller.post("/api/training/jobs", json={"model": "a/b"})).json()["job"]["id"]
    now = datetime.now(UTC).isoformat()
    await facade.set_status(ours, phase="Succeeded", completionTime=now, output=OUTPUT)
    await finished_job(facade, "others", completionTime=now)

    async def is_begun() -> bool:
        return bool(benchmarks(facade))

    await eventually(is_begun, "the benchmark is there", 5, 0.01)
    (found,) = benchmarks(facade)
    assert found["metadata"]["name"] == benchmark_name(view_job(facade.client.item(TRAINING_JOBS, ours) or {}))
    async with facade.caller("milady") as caller:
        shown = (await caller.get("/api/training/jobs")).json()["jobs"]
        assert {one["id"] for one in shown} == {"others", ours}
        again = await caller.post("/api/training/jobs", json={"model": "a/b"})
        assert again.status_code == 201, again.text


async def test_a_model_of_long_ago_is_not_benchmarked_by_itself(facade: Facade) -> None:
    async with facade.caller("milady") as caller:
        ours = (await caller.post("/api/training/jobs", json={"model": "a/b"})).json()["job"]["id"]
    await facade.set_status(ours, phase="Succeeded", completionTime="2020-01-01T00:00:00Z", output=OUTPUT)
    await asyncio.sleep(0.05)
    assert benchmarks(facade) == []
    assert (await ask(facade, ours)).json() == {"error": "Benchmark is still running"}
