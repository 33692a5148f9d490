"""What becomes of `POST /train`, through the whole application."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from fettle_api.app import create_app
from fettle_api.files.workspace import Workspace
from fettle_api.gpus import GpuView
from fettle_api.jobs.logs import WorkspaceLogs
from fettle_api.settings import ApiSettings
from fettle_client.protocol import SECRETS, TRAINING_JOBS, Manifest
from tests.support.facade import Facade, ReviewingClient, running_facade

HUB = {"source": {"source_type": "huggingface", "repo_id": "c/d", "split": "test"}}
CONFIG: dict[str, Any] = {"output_name": "x", "base_model": "a/b", "use_wandb": False, "dataset": HUB}
PAIR = '{"prompt": "a", "chosen": "b", "rejected": "c"}\n'


class FakeGpus:
    """Those of a machine."""

    are_local = True

    def __init__(self, count: int) -> None:
        self._gpus = [
            GpuView(index, "a GPU", 80 * 2**30, 70 * 2**30, 10 * 2**30, compute_capability="9.0")
            for index in range(count)
        ]

    async def all(self) -> list[GpuView] | None:
        return self._gpus


@asynccontextmanager
async def machine(root: Path, gpu_count: int) -> AsyncIterator[tuple[ReviewingClient, httpx.AsyncClient]]:
    client = ReviewingClient()
    settings = ApiSettings(workspace=root, default_gpus=min(1, gpu_count))
    app = create_app(settings, client, root, WorkspaceLogs(Workspace(root)), gpus=FakeGpus(gpu_count))
    transport = httpx.ASGITransport(app=app.state.ports["merlina"])
    caller = httpx.AsyncClient(transport=transport, base_url="http://localhost:8000")
    async with app.router.lifespan_context(app), caller:
        yield client, caller


def only_job(facade: Facade | ReviewingClient) -> Manifest:
    client = facade if isinstance(facade, ReviewingClient) else facade.client
    (job,) = client.items(TRAINING_JOBS)
    return job


async def test_the_job_and_its_secret(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller("merlina") as caller:
        answer = await caller.post("/train?priority=high", json={**CONFIG, "hf_token": "hf_secret"})
        assert answer.status_code == 200, answer.text
        job = only_job(facade)
        assert job["metadata"]["name"] == answer.json()["job_id"].replace("_", "-")
        assert job["spec"]["dataset"]["source"] == {"huggingFace": {"id": "c/d", "split": "test"}}
        assert job["spec"]["scheduling"]["priority"] == "high"
        secret_name = job["spec"]["credentials"]["secretName"]
        (secret,) = facade.client.items(SECRETS)
        assert secret["metadata"]["name"] == secret_name
        assert secret["data"] == {"HF_TOKEN": base64.b64encode(b"hf_secret").decode()}
        assert "hf_secret" not in str(job)


async def test_names_go_through_the_alias_tables(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/pairs.jsonl").write_text(PAIR)
    aliases: dict[str, Any] = {
        "model_aliases": {"a/b": "models/tiny"},
        "dataset_aliases": {"c/d": "datasets/pairs.jsonl"},
    }
    (tmp_path / "models/tiny").mkdir(parents=True)
    async with running_facade(tmp_path, **aliases) as facade, facade.caller("merlina") as caller:
        assert (await caller.post("/train", json=CONFIG)).status_code == 200
        spec = only_job(facade)["spec"]
        assert spec["baseModel"] == {"path": "models/tiny"}
        assert spec["dataset"]["source"] == {"workspace": {"path": "datasets/pairs.jsonl"}}


@pytest.mark.parametrize(
    "where", ["datasets/pairs.jsonl", "pairs.jsonl", "./pairs.jsonl", "{root}/datasets/pairs.jsonl"]
)
async def test_a_file_of_the_workspace_by_any_of_its_names(tmp_path: Path, where: str) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/pairs.jsonl").write_text(PAIR)
    source = {"source_type": "local_file", "file_path": where.replace("{root}", str(tmp_path))}
    async with running_facade(tmp_path) as facade, facade.caller("merlina") as caller:
        answer = await caller.post("/train", json={**CONFIG, "dataset": {"source": source}})
        assert answer.status_code == 200, answer.text
        assert only_job(facade)["spec"]["dataset"]["source"] == {"workspace": {"path": "datasets/pairs.jsonl"}}


async def test_sft_takes_the_chosen_answers(tmp_path: Path) -> None:
    (tmp_path / "datasets").mkdir()
    (tmp_path / "datasets/pairs.jsonl").write_text('{"q": "a", "good": "b", "rejected": "c"}\n')
    dataset = {
        "source": {"source_type": "local_file", "file_path": "pairs.jsonl"},
        "column_mapping": {"q": "prompt", "good": "chosen"},
    }
    config = {**CONFIG, "training_mode": "sft", "dataset": dataset}
    async with running_facade(tmp_path) as facade, facade.caller("merlina") as caller:
        answer = await caller.post("/train", json=config)
        assert answer.status_code == 200, answer.text
        assert only_job(facade)["spec"]["dataset"]["columns"] == {"q": "prompt", "good": "completion"}


async def test_many_at_once_get_ids_that_differ(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller("merlina") as caller:
        answers = await asyncio.gather(*(caller.post("/train", json=CONFIG) for _ in range(20)))
        ids = {answer.json()["job_id"] for answer in answers}
        assert len(ids) == 20
        assert (await caller.get("/queue/status")).json()["stats"]["queued_count"] == 20
        assert len(facade.client.items(TRAINING_JOBS)) == 20


async def test_two_facades_give_ids_that_differ(tmp_path: Path) -> None:
    client = ReviewingClient()
    async with (
        running_facade(tmp_path, client=client) as one,
        running_facade(tmp_path, client=client) as other,
        one.caller("merlina") as first,
        other.caller("merlina") as second,
    ):
        answers = await asyncio.gather(*(caller.post("/train", json=CONFIG) for caller in (first, second) * 5))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["job_id"] for answer in answers}) == 10


async def test_the_same_key_is_the_same_job(tmp_path: Path) -> None:
    headers = {"idempotency-key": "once"}
    async with running_facade(tmp_path) as facade, facade.caller("merlina") as caller:
        first = await caller.post("/train", json=CONFIG, headers=headers)
        again = await caller.post("/train", json=CONFIG, headers=headers)
        assert (first.status_code, first.json()) == (again.status_code, again.json())
        other = await caller.post("/train", json={**CONFIG, "lora_r": 8}, headers=headers)
        assert (other.status_code, list(other.json())) == (422, ["detail"])
        assert len(facade.client.items(TRAINING_JOBS)) == 1


async def test_a_refused_configuration_creates_nothing_and_quotes_no_secret(tmp_path: Path) -> None:
    config = {**CONFIG, "hf_token": "hf_secret", "max_length": 512, "max_prompt_length": 1024}
    async with running_facade(tmp_path) as facade, facade.caller("merlina") as caller:
        answer = await caller.post("/train", json=config)
        assert answer.status_code == 400
        assert "hf_secret" not in answer.text
        assert facade.client.items(TRAINING_JOBS) == []
        assert facade.client.items(SECRETS) == []


async def test_gpus_of_this_machine(tmp_path: Path) -> None:
    async with machine(tmp_path, 2) as (client, caller):
        listed = (await caller.get("/gpu/list")).json()
        assert (listed["status"], listed["count"]) == ("success", 2)
        assert (await caller.get("/gpu/1")).json()["gpu"]["index"] == 1
        assert (await caller.get("/gpu/2")).json() == {"detail": "GPU 2 not found"}
        assert (await caller.get("/gpu/available?min_free_memory_mb=90000")).json()["available_gpus"] == []
        assert (await caller.get("/gpu/recommended")).json()["recommended_index"] == 0
        refused = await caller.post("/train", json={**CONFIG, "gpu_ids": [5]})
        assert refused.json()["detail"]["errors"] == ["gpu_ids: GPU 5 not found; there are 0, 1"]
        assert (await caller.post("/train", json={**CONFIG, "gpu_ids": [1]})).status_code == 200
        spec = only_job(client)["spec"]
        assert spec["resources"]["gpusPerNode"] == 1
        assert spec["runtime"]["env"] == [{"name": "CUDA_VISIBLE_DEVICES", "value": "1"}]


async def test_a_machine_without_gpus_trains_on_its_cpu(tmp_path: Path) -> None:
    async with machine(tmp_path, 0) as (client, caller):
        checked = (await caller.post("/validate", json=CONFIG)).json()
        assert (checked["valid"], checked["results"]["checks"]["gpu_available"]) == (True, False)
        assert (await caller.post("/train", json={**CONFIG, "gpu_ids": [0]})).status_code == 200
        assert only_job(client)["spec"]["resources"]["gpusPerNode"] == 0
