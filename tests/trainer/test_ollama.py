"""Models of this trainer in the real Ollama: an adapter with its base, a whole model, and what Ollama refuses."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fettle_local.home import Home
from fettle_local.models import fetch_model
from tests.support.facade import Facade, running_facade
from tests.support.finished_jobs import finished_job
from tests.support.ollama_server import missing_for_ollama, ollama_server
from tests.support.runs import finish_run, run_config, write_run
from tests.support.tiny_model import write_rows

pytestmark = pytest.mark.slow

MODEL = "models/smollm2-135m"
QUESTION = "Which colour is the door of the mill?"
ANSWER = "The door of the mill is turquoise."


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small real model, and an adapter that knows one thing more."""
    reasons = missing_for_ollama()
    if reasons:
        pytest.skip("; ".join(reasons))
    home = Home.from_environment({"FETTLE_HOME": str(tmp_path_factory.mktemp("home")), "HOME": str(Path.home())})
    fetch_model(home, "smollm2-135m", print)
    messages = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    write_rows(home.workspace / "datasets/train.jsonl", [{"messages": messages}] * 16)
    files = write_run(
        home.workspace,
        run_config(
            baseModel={"path": MODEL},
            adapter={"rank": 16, "alpha": 32, "dropout": 0.0},
            hyperparameters={"maxSteps": 20, "gradientAccumulationSteps": 1, "learningRate": 1e-3, "precision": "auto"},
        ),
    )
    assert finish_run(files, OMP_NUM_THREADS="2") == 0, files.log()
    published = home.workspace / files.result()["output"]["path"]
    shutil.copytree(published, home.workspace / "adapters/mine/0123456789ab")
    return home.workspace


@pytest.fixture
async def facade(workspace: Path) -> AsyncIterator[Facade]:
    async with running_facade(workspace) as running:
        yield running


@pytest.fixture
async def ollama(tmp_path: Path) -> AsyncIterator[str]:
    async with ollama_server(tmp_path) as url:
        yield url


async def import_model(facade: Facade, ollama: str, **body: Any) -> httpx.Response:
    async with facade.caller("milady", timeout=600) as caller:
        wanted = {"ollamaUrl": ollama, "modelName": "mine", **body}
        return await caller.post("/api/training/models/model-mine/import-ollama", json=wanted)


async def ask(ollama: str, model: str) -> str:
    async with httpx.AsyncClient(timeout=600) as caller:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": QUESTION}],
            "stream": False,
            "options": {"temperature": 0, "num_predict": 24, "num_thread": 2, "repeat_penalty": 1.0},
        }
        answer = await caller.post(f"{ollama}/api/chat", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["message"]["content"])


async def test_an_adapter_knows_there_what_it_learned_here(facade: Facade, ollama: str) -> None:
    await finished_job(facade, "mine", spec={"baseModel": {"path": MODEL}})
    answer = await import_model(facade, ollama)
    assert answer.status_code == 200, answer.text
    assert "turquoise" in await ask(ollama, "mine")


async def test_an_adapter_on_a_model_that_is_there(facade: Facade, ollama: str) -> None:
    output = {"kind": "model", "path": MODEL, "digest": "sha256:0"}
    spec = {"baseModel": {"path": MODEL}, "adapter": {"type": "none"}}
    await finished_job(facade, "mine", kind="model", spec=spec, output=output)
    answer = await import_model(facade, ollama, modelName="base")
    assert answer.status_code == 200, answer.text
    assert "turquoise" not in await ask(ollama, "base")
    adapter = {**output, "kind": "adapter", "path": "adapters/mine/0123456789ab"}
    await finished_job(facade, "other", spec={"baseModel": {"path": MODEL}}, output=adapter)
    async with facade.caller("milady", timeout=600) as caller:
        body = {"ollamaUrl": ollama, "modelName": "mine", "baseModel": "base"}
        answer = await caller.post("/api/training/models/model-other/import-ollama", json=body)
    assert answer.status_code == 200, answer.text
    assert "turquoise" in await ask(ollama, "mine")


async def test_what_it_refuses_is_told_in_its_words(facade: Facade, ollama: str, workspace: Path) -> None:
    path = "models/odd/0123456789ab"
    shutil.copytree(workspace / MODEL, workspace / path)
    config = json.loads((workspace / path / "config.json").read_text())
    (workspace / path / "config.json").write_text(json.dumps({**config, "architectures": ["MambaForCausalLM"]}))
    output = {"kind": "model", "path": path, "digest": "sha256:0"}
    await finished_job(facade, "mine", kind="model", spec={"adapter": {"type": "none"}}, output=output)
    answer = await import_model(facade, ollama)
    assert answer.status_code == 502
    assert answer.json()["error"] == 'Ollama refuses: unsupported architecture "MambaForCausalLM"'
