import asyncio
import os
from pathlib import Path

from fettle_client.protocol import TRAINING_JOBS
from tests.support.facade import running_facade

UPLOAD = "/api/datasets/upload"
ROWS = b'{"text": "a"}\n'


async def test_a_full_disk_is_507_and_keeps_nothing(small_disk: Path) -> None:
    async with running_facade(small_disk) as facade, facade.caller() as caller:
        answer = await caller.post(UPLOAD, files={"file": ("a.jsonl", b"x" * 2_000_000)})
        assert (answer.status_code, answer.json().keys()) == (507, {"error"})
        template = await caller.post(
            "/api/training/templates", json={"name": "x", "default_params": {"a": "x" * 900_000}}
        )
        assert template.status_code in (201, 507)
    assert os.listdir(small_disk / "datasets") == []


async def test_uploads_of_one_name_through_two_facades_each_get_a_version(tmp_path: Path) -> None:
    facades = running_facade(tmp_path), running_facade(tmp_path)
    async with facades[0] as one, facades[1] as two, one.caller() as first, two.caller() as second:
        answers = await asyncio.gather(
            *(caller.post(UPLOAD, files={"file": ("a.jsonl", ROWS)}) for caller in [first, second] * 5)
        )
        assert {answer.status_code for answer in answers} == {201}
        versions = (await first.get("/api/datasets/a")).json()["versions"]
    assert sorted(versions) == sorted(f"v{number}" for number in range(1, 11))


async def test_a_model_or_a_job_is_no_dataset_to_be_registered(tmp_path: Path) -> None:
    (tmp_path / "jobs/x").mkdir(parents=True)
    (tmp_path / "jobs/x/run.json").write_text("{}")
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        for path in ("jobs/x/run.json", "datasets/../jobs/x", "huggingface/token", "datasets/"):
            answer = await caller.post("/api/datasets", json={"source": "local", "path": path})
            assert answer.status_code == 400, path


async def test_what_was_uploaded_trains_under_every_name_that_it_has(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        made = await caller.post(UPLOAD, files={"file": ("My rows.jsonl", ROWS)})
        name = made.json()["id"]
        await caller.post("/api/training/jobs", json={"base_model": "a/b", "dataset_id": name})
        (job,) = facade.client.items(TRAINING_JOBS)
    assert job["spec"]["dataset"]["source"] == {"workspace": {"path": f"datasets/{name}"}}


async def test_a_link_planted_where_uploads_go_is_not_followed(tmp_path: Path) -> None:
    root, outside = tmp_path / "workspace", tmp_path / "outside"
    root.mkdir()
    outside.mkdir()
    (root / "datasets").symlink_to(outside)
    (root / "templates").symlink_to(outside)
    async with running_facade(root) as facade, facade.caller() as caller:
        assert (await caller.post(UPLOAD, files={"file": ("a.jsonl", ROWS)})).status_code == 409
        assert (await caller.post("/api/training/templates", json={"name": "x"})).status_code == 409
        assert (await caller.get("/api/datasets")).json() == {"datasets": []}
    assert os.listdir(outside) == []
