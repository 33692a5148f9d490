import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fettle_client.protocol import ADAPTERS, LEASES, TRAINING_JOBS
from tests.support.facade import Facade, running_facade

HOOK = "https://93.184.216.34/hook?token=canary"


async def train(facade: Facade, query: str = "", **body: Any) -> dict[str, Any]:
    async with facade.caller("cluster") as caller:
        answer = await caller.post(f"/train{query}", json=body)
    return {"code": answer.status_code, **answer.json()}


def the_job(facade: Facade) -> dict[str, Any]:
    (job,) = facade.client.items(TRAINING_JOBS)
    return job


@pytest.mark.parametrize("store", ["memory", "local"])
async def test_of_several_at_once_that_may_be_rejected_one_wins(tmp_path: Path, store: str) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    async with running_facade(root, store) as one, running_facade(root, client=one.client) as two:
        answers = await asyncio.gather(*(train(facade, "?strategy=reject") for facade in [one, two] * 4))
        codes = sorted(answer["code"] for answer in answers)
        jobs = (await one.client.list(TRAINING_JOBS, "default")).items
        leases = (await one.client.list(LEASES, "default")).items
    assert codes == [200, *[409] * 7]
    assert len(jobs) == 1
    assert [lease["metadata"]["name"] for lease in leases] == ["fettle-submit-cluster"]


async def test_a_job_from_elsewhere_keeps_the_trainer_busy_too(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller("ainode") as elsewhere:
        await elsewhere.post("/api/training/jobs", json={"base_model": "a/b", "dataset_path": "d"})
        assert (await train(facade, "?strategy=reject"))["code"] == 409
        assert (await train(facade))["message"] == "Training job added to queue at position 1"


async def test_the_webhook_is_in_the_spec_and_in_no_answer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    async with running_facade(tmp_path) as facade, facade.caller("cluster") as caller:
        made = await train(facade, webhook_url=HOOK)
        listed = await caller.get("/train")
        one = await caller.get(f"/train/{made['job_id']}")
        job = the_job(facade)
    assert job["spec"]["webhook"] == {"url": HOOK, "format": "cluster"}
    assert "canary" not in json.dumps(made) + listed.text + one.text + json.dumps(job["metadata"]) + caplog.text


async def test_a_key_that_is_sent_again_is_the_same_job(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller("cluster") as caller:
        headers = {"Idempotency-Key": "k-1"}
        answers = [await caller.post("/train?strategy=reject", json={}, headers=headers) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].json() == answers[1].json()
        other = await caller.post("/train", json={"max_samples": 1}, headers=headers)
        assert other.status_code == 422
        assert len(facade.client.items(TRAINING_JOBS)) == 1


async def test_a_dataset_is_found_by_its_version(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller("ainode") as caller:
        await caller.post("/api/datasets/upload", files={"file": ("chat.jsonl", b'{"text": "a"}\n')})
        await train(facade)
    assert the_job(facade)["spec"]["dataset"]["source"] == {"workspace": {"path": "datasets/chat", "version": "v1"}}


async def test_aliases_name_models_and_versions(tmp_path: Path) -> None:
    aliases = {"model_aliases": {"small": "acme/tiny"}, "dataset_aliases": {"v1.0": "acme/rows"}}
    async with running_facade(tmp_path, **aliases) as facade:
        await train(facade, model_name="small")
    spec = the_job(facade)["spec"]
    assert spec["baseModel"] == {"id": "acme/tiny"}
    assert spec["dataset"]["source"] == {"huggingFace": {"id": "acme/rows", "split": "train"}}


async def test_what_training_starts_from(tmp_path: Path) -> None:
    path = tmp_path / "uploads/mine"
    path.mkdir(parents=True)
    (path / "adapter_config.json").write_text("{}")
    async with running_facade(tmp_path) as facade:
        assert (await train(facade, adapter_path="./uploads/mine/"))["code"] == 200
        (made,) = facade.client.items(ADAPTERS)
        assert made["spec"]["source"] == {"workspace": {"path": "uploads/mine"}}
        assert the_job(facade)["spec"]["startFrom"] == {"adapter": made["metadata"]["name"]}
        for again in ("uploads/mine", made["metadata"]["name"]):
            assert (await train(facade, adapter_path=again))["code"] == 200
        assert len(facade.client.items(ADAPTERS)) == 1
        assert (await train(facade, adapter_path="acme/adapter"))["code"] == 200
        sources = [adapter["spec"]["source"] for adapter in facade.client.items(ADAPTERS)]
        assert {"huggingFace": {"id": "acme/adapter"}} in sources
        for nowhere in ("nobody", "uploads/other/../mine", "/etc", "uploads/none/at/all"):
            assert (await train(facade, adapter_path=nowhere))["code"] == 422
