"""Milady's training API."""

from typing import Any

from tests.documents.document import Document, Expected, until
from tests.documents.machine import training_job

BASE_URL = "http://localhost:2138"
MODELS = ("llama-3.2-3b",)
DATASETS = {"dataset-2024-06-10": "datasets/messages"}
_API = "/api/training"
_TRAJECTORY = "550e8400-e29b-41d4-a716-446655440000"
_BENCHMARK_SECONDS = 120


async def start(document: Document) -> None:
    """A job that trains while other things are looked at."""
    sample, expected = document.pair(f"POST {_API}/jobs", "Response (201 Created)", 201)
    answer = await document.request(sample, expected, document.at(f"POST {_API}/jobs", "Request"))
    document.made(sample, answer["job"]["id"])


async def trajectories(document: Document) -> None:
    """One with two calls, so that it is built from."""
    listed, expected = document.pair(f"GET {_API}/trajectories")
    await document.send(listed, f"POST {_API}/trajectories", Expected(201), _trajectory())
    await document.request(listed, expected)
    detail, expected = document.pair(f"GET {_API}/trajectories/:id")
    await document.request(detail, expected, replaced={":id": _TRAJECTORY})


async def datasets(document: Document) -> None:
    """Built before they are listed."""
    heading = f"POST {_API}/datasets/build"
    build, expected = document.pair(heading, "Response (201 Created)", 201)
    await document.request(build, expected, document.at(heading, "Request"))
    await document.request(*document.pair(f"GET {_API}/datasets"))


async def ended(document: Document) -> None:
    """The job has ended, so the list shows all that the example has; its model can be used."""
    await document.finish_jobs()
    await document.request(*document.pair(f"GET {_API}/status"))
    await document.request(*document.pair(f"GET {_API}/jobs"))
    listed = await document.request(*document.pair(f"GET {_API}/models"))
    model = {":id": listed["models"][0]["id"]}
    for verb in ("import-ollama", "activate"):
        heading = f"POST {_API}/models/:id/{verb}"
        sample, expected = document.pair(heading)
        await document.request(sample, expected, document.at(heading, "Request"), model)
    sample, expected = document.pair(f"POST {_API}/models/:id/benchmark")
    await _benchmarked(document, model[":id"])
    await document.request(sample, expected, replaced=model)


async def running(document: Document) -> None:
    """One that runs for long, and is cancelled."""
    await document.machine.apply(training_job("job-002", steps=100_000))
    await document.machine.wait("job-002", "Running", with_loss=True)
    job = {":id": "job-002"}
    for heading in (f"GET {_API}/jobs/:id", f"POST {_API}/jobs/:id/cancel"):
        sample, expected = document.pair(heading)
        await document.request(sample, expected, replaced=job)


async def _benchmarked(document: Document, model_id: str) -> None:
    """It was begun when the job ended; until it is done the verb is a 409."""
    await until(document, f"POST {_API}/models/{model_id}/benchmark", "modelId", [model_id], _BENCHMARK_SECONDS)


def _trajectory() -> dict[str, Any]:
    call = {"systemPrompt": "You are a helpful agent.", "userPrompt": "What is there?", "response": "Three pods run."}
    return {
        "id": _TRAJECTORY,
        "source": "chat",
        "status": "completed",
        "startTime": 1718000000000,
        "endTime": 1718000010000,
        "llmCalls": [call, call],
        "providerAccesses": [{"providerName": "facts", "purpose": "context"}],
    }


CHECKS = (start, trajectories, datasets, ended, running)
