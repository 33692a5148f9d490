import asyncio
import json
from pathlib import Path
from typing import Any

import httpx

from fettle_client.protocol import TRAINING_JOBS, UnavailableError
from tests.support.facade import Facade, running_facade

BODY: dict[str, Any] = {"model_name": "codellama-7b-instruct", "train_texts": ["one", "zwei ü\nlines"]}


async def start(facade: Facade, key: str | None = None, **changes: Any) -> httpx.Response:
    async with facade.caller("qlora") as caller:
        headers = {"Idempotency-Key": key} if key else {}
        return await caller.post("/api/training/start", json={**BODY, **changes}, headers=headers)


def datasets(root: Path) -> list[str]:
    if not (root / "datasets").exists():
        return []
    return sorted(str(path.relative_to(root)) for path in (root / "datasets").rglob("data.jsonl"))


async def test_the_texts_are_in_the_workspace_before_the_job_is(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        assert (await start(facade)).status_code == 200
        (job,) = facade.client.items(TRAINING_JOBS)
    source = job["spec"]["dataset"]["source"]["workspace"]
    assert source == {"path": f"datasets/{job['metadata']['name']}", "version": "v1"}
    rows = (tmp_path / source["path"] / "v1/data.jsonl").read_text().splitlines()
    assert [json.loads(row) for row in rows] == [{"text": text} for text in BODY["train_texts"]]
    assert job["spec"]["dataset"]["format"] == "text"
    assert "zwei" not in json.dumps(job)


async def test_more_than_a_resource_could_hold_is_no_trouble(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        assert (await start(facade, train_texts=["x" * 1000] * 3000)).status_code == 200


async def test_a_key_that_is_sent_again_is_the_same_job_and_leaves_no_second_copy(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        answers = [await start(facade, "key-1") for _ in range(3)]
        assert len({answer.json()["job_id"] for answer in answers}) == 1
        assert len(facade.client.items(TRAINING_JOBS)) == 1
        assert (await start(facade, "key-1", train_texts=["other"])).status_code == 422
    assert len(datasets(tmp_path)) == 1


async def test_the_same_key_several_times_at_once(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        answers = await asyncio.gather(*(start(facade, "key-1") for _ in range(6)))
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.json()["job_id"] for answer in answers}) == 1
        (job,) = facade.client.items(TRAINING_JOBS)
    source = job["spec"]["dataset"]["source"]["workspace"]
    assert datasets(tmp_path) == [f"{source['path']}/{source['version']}/data.jsonl"]


async def test_a_job_that_is_not_made_leaves_no_texts(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        assert (await start(facade, lora_config={"r": 5000})).status_code == 400
        facade.client.fail_next("create", UnavailableError(503, "x", "x"), TRAINING_JOBS)
        assert (await start(facade)).status_code == 503
    assert datasets(tmp_path) == []
    assert list((tmp_path / "datasets").iterdir()) == []


async def test_an_alias_of_the_installation_comes_before_the_apis_own(tmp_path: Path) -> None:
    async with running_facade(tmp_path, model_aliases={"codellama-7b-instruct": "acme/tiny"}) as facade:
        answer = await start(facade)
        (job,) = facade.client.items(TRAINING_JOBS)
        async with facade.caller("qlora") as caller:
            shown = (await caller.get(f"/api/training/status/{answer.json()['job_id']}")).json()
    assert job["spec"]["baseModel"] == {"id": "acme/tiny"}
    assert shown["model_name"] == "codellama-7b-instruct"


async def test_what_is_no_model(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade:
        for name in ("gpt-nobody", "models/nobody", "../x", "a/b/c", "/etc/passwd", "a b/c", "x/"):
            answer = await start(facade, model_name=name)
            assert answer.status_code == 400, name
        assert facade.client.items(TRAINING_JOBS) == []
    assert datasets(tmp_path) == []


async def test_jobs_of_other_dialects_are_listed_and_stopped_here(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller("qlora") as caller:
        async with facade.caller("ainode") as elsewhere:
            made = await elsewhere.post("/api/training/jobs", json={"base_model": "a/b", "dataset_path": "d"})
        await start(facade)
        listed = (await caller.get("/api/training/jobs")).json()
        assert listed["total"] == 2
        job_id = listed["jobs"][1]["job_id"]
        assert (await caller.post(f"/api/training/stop/{job_id}")).status_code == 200
        async with facade.caller("ainode") as elsewhere:
            shown = await elsewhere.get(f"/api/training/jobs/{made.json()['job_id']}")
        assert shown.json()["status"] == "cancelled"


async def test_uploads_of_one_name_are_versions(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller("qlora") as caller:
        for _ in range(2):
            body = {"dataset_name": "My data", "train_texts": ["a"]}
            answer = await caller.post("/api/training/data/upload", json=body)
            assert answer.json()["dataset_name"] == "My data"
    found = datasets(tmp_path)
    assert [path.split("/")[2] for path in found] == ["v1", "v2"]
