import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from fettle_client.protocol import SECRETS, TRAINING_JOBS, ApiError, UnavailableError
from tests.support.facade import Facade, running_facade

JOBS = "/api/training/jobs"
CONFIG = {"base_model": "a/b", "dataset_path": "c/d"}
CANARY = "hf_canary0123456789"


@pytest.fixture
async def facade(tmp_path: Path) -> AsyncIterator[Facade]:
    async with running_facade(tmp_path) as running:
        yield running


async def submit(facade: Facade, **changes: Any) -> httpx.Response:
    async with facade.caller() as caller:
        return await caller.post(JOBS, json={**CONFIG, **changes})


async def test_a_secret_is_in_the_secret_and_nowhere_else(facade: Facade, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    answers = [await submit(facade, hf_token=CANARY), await submit(facade, hf_token=CANARY, batch_size=0)]
    answers.append(await submit(facade, hf_token=[CANARY]))
    async with facade.caller() as caller:
        job_id = answers[0].json()["job_id"]
        answers += [await caller.get(f"{JOBS}{path}") for path in ("", f"/{job_id}", f"/{job_id}/logs")]
        answers.append(await caller.delete(f"{JOBS}/{job_id}"))
    assert all(CANARY not in answer.text for answer in answers)
    assert CANARY not in caplog.text
    assert CANARY not in str(facade.client.items(TRAINING_JOBS))
    assert CANARY not in str([path.read_bytes() for path in facade.root.rglob("*") if path.is_file()])
    assert CANARY not in str(facade.client.calls)
    (secret,) = facade.client.items(SECRETS)
    assert secret["data"] == {"HF_TOKEN": base64.b64encode(CANARY.encode()).decode()}
    assert {call.verb for call in facade.client.calls if call.kind == "Secret"} == {"create"}


async def test_the_secret_goes_with_its_job(facade: Facade) -> None:
    await submit(facade, hf_token=CANARY)
    (job,), (secret,) = facade.client.items(TRAINING_JOBS), facade.client.items(SECRETS)
    assert job["spec"]["credentials"] == {"secretName": secret["metadata"]["name"]}
    assert secret["metadata"]["name"] == f"{job['metadata']['name']}-credentials"
    (owner,) = secret["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["uid"]) == ("TrainingJob", job["metadata"]["uid"])


async def test_a_job_whose_secret_cannot_be_made_is_taken_back(
    facade: Facade, caplog: pytest.LogCaptureFixture
) -> None:
    facade.client.fail_next("create", ApiError(403, "Forbidden", f"cannot create {CANARY}"), SECRETS)
    answer = await submit(facade, hf_token=CANARY)
    assert (answer.status_code, answer.json()) == (500, {"error": "Internal server error"})
    assert facade.client.items(TRAINING_JOBS) == []
    assert CANARY not in caplog.text


async def test_the_installations_credentials_stand_in(tmp_path: Path) -> None:
    async with running_facade(tmp_path, credentials_secret_name="platform") as facade:
        await submit(facade)
        assert facade.client.items(TRAINING_JOBS)[0]["spec"]["credentials"] == {"secretName": "platform"}


async def test_names_go_through_the_alias_table_and_the_workspace(tmp_path: Path) -> None:
    (tmp_path / "models/smollm2").mkdir(parents=True)
    (tmp_path / "uploads").mkdir()
    (tmp_path / "uploads/rows.jsonl").write_text("{}")
    async with running_facade(tmp_path, model_aliases={"small": "models/smollm2"}, default_gpus=1) as facade:
        await submit(facade, base_model="small", dataset_path="rows.jsonl")
        spec = facade.client.items(TRAINING_JOBS)[0]["spec"]
    assert spec["baseModel"] == {"path": "models/smollm2"}
    assert spec["dataset"]["source"] == {"workspace": {"path": "uploads/rows.jsonl"}}
    assert spec["resources"]["gpusPerNode"] == 1


async def test_jobs_are_listed_in_order_of_arrival_within_one_second(facade: Facade) -> None:
    made = [(await submit(facade)).json()["job_id"] for _ in range(20)]
    async with facade.caller() as caller:
        assert [job["job_id"] for job in (await caller.get(JOBS)).json()["jobs"]] == made


async def test_a_job_is_readable_as_soon_as_it_was_made(facade: Facade) -> None:
    async def make_and_read(caller: httpx.AsyncClient) -> bool:
        job_id = (await caller.post(JOBS, json=CONFIG)).json()["job_id"]
        listed = [job["job_id"] for job in (await caller.get(JOBS)).json()["jobs"]]
        return job_id in listed and (await caller.get(f"{JOBS}/{job_id}")).status_code == 200

    async with facade.caller() as caller:
        assert all(await asyncio.gather(*(make_and_read(caller) for _ in range(20))))


async def test_lists_do_not_reach_the_api_server_and_misses_do(facade: Facade) -> None:
    job_id = (await submit(facade)).json()["job_id"]
    facade.client.calls.clear()
    async with facade.caller() as caller:
        await caller.get(JOBS)
        await caller.get(f"{JOBS}/{job_id}")
        assert facade.client.calls == []
        await caller.get(f"{JOBS}/0123456789ab")
    assert [(call.verb, call.name) for call in facade.client.calls] == [("get", "j0123456789ab")]


async def test_a_job_made_with_kubectl_is_there_under_its_name(facade: Facade) -> None:
    metadata = {"name": "kubectl-helper", "namespace": "default"}
    spec = {"baseModel": {"id": "a/b"}, "dataset": {"source": {"workspace": {"path": "datasets/kubectl"}}}}
    manifest = {"apiVersion": "fettle.dev/v1alpha1", "kind": "TrainingJob", "metadata": metadata, "spec": spec}
    await facade.client.create(TRAINING_JOBS, manifest)
    async with facade.caller() as caller:
        job = (await caller.get(f"{JOBS}/kubectl-helper")).json()
        assert job["job_id"] == "kubectl-helper"
        assert job["config"]["dataset_path"] == "kubectl"
        assert (await caller.delete(f"{JOBS}/kubectl-helper")).status_code == 200
        assert (await caller.get(f"{JOBS}/kubectl-helper")).json()["status"] == "cancelled"
        assert (await caller.delete(f"{JOBS}/kubectl-helper")).status_code == 409


async def test_an_unreachable_api_server_is_503(facade: Facade) -> None:
    facade.client.fail_next(
        "create", UnavailableError(503, "ServiceUnavailable", "dial tcp 10.0.0.1:6443"), TRAINING_JOBS
    )
    answer = await submit(facade)
    assert answer.status_code == 503
    assert "10.0.0.1" not in answer.text
    assert answer.headers["retry-after"]


async def test_an_output_path_outside_the_published_places_is_no_output(facade: Facade) -> None:
    job_id = (await submit(facade)).json()["job_id"]
    name = facade.client.items(TRAINING_JOBS)[0]["metadata"]["name"]
    (facade.root / "huggingface").mkdir()
    (facade.root / "huggingface/token").write_text(CANARY)
    for path in ("huggingface", "adapters/../huggingface", "adapters/link", "/etc", "models/.."):
        (facade.root / "adapters").mkdir(exist_ok=True)
        if not (facade.root / "adapters/link").is_symlink():
            (facade.root / "adapters/link").symlink_to("../huggingface")
        await facade.set_status(name, phase="Succeeded", output={"kind": "adapter", "path": path, "digest": "sha256:0"})
        async with facade.caller() as caller:
            assert (await caller.get(f"{JOBS}/{job_id}/output")).json()["files"] == [], path
            assert (await caller.get(f"{JOBS}/{job_id}/output/token")).status_code == 404, path


async def test_a_link_among_the_published_files_is_neither_listed_nor_sent(facade: Facade) -> None:
    job_id = (await submit(facade)).json()["job_id"]
    name = facade.client.items(TRAINING_JOBS)[0]["metadata"]["name"]
    directory = facade.root / "adapters/demo/0123456789ab"
    directory.mkdir(parents=True)
    (directory / "real.txt").write_text("content")
    (directory / "link.txt").symlink_to("/etc/passwd")
    output = {"kind": "adapter", "path": "adapters/demo/0123456789ab", "digest": "sha256:0"}
    await facade.set_status(name, phase="Succeeded", output=output)
    async with facade.caller() as caller:
        listed = (await caller.get(f"{JOBS}/{job_id}/output")).json()["files"]
        assert [file["name"] for file in listed] == ["real.txt"]
        assert (await caller.get(f"{JOBS}/{job_id}/output/link.txt")).status_code == 404


async def test_pairs_come_back_as_they_were_attached(facade: Facade) -> None:
    async with facade.caller("openai") as caller:
        (facade.root / "uploads/file-1").mkdir(parents=True)
        (facade.root / "uploads/file-1/data.jsonl").write_text("{}")
        body = {"model": "a/b", "training_file": "file-1", "metadata": {"ü/\n": "\0", "": ""}}
        made = (await caller.post("/fine_tuning/jobs", json=body)).json()
    assert made["metadata"] == body["metadata"]
    (job,) = facade.client.items(TRAINING_JOBS)
    assert json.loads(job["metadata"]["annotations"]["fettle.dev/metadata"]) == body["metadata"]
