import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fettle_api.errors import IdempotencyConflictError, JobRunningError
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.claims import Claims
from fettle_api.jobs.submissions import Submissions
from fettle_api.resources.models import JobRequest, JobView
from fettle_api.resources.store import Store
from fettle_api.settings import ApiSettings
from fettle_api.web.idempotency import identify
from fettle_client.protocol import LEASES, SECRETS, TRAINING_JOBS, ApiError, UnavailableError
from fettle_local.store import LocalClient
from fettle_schema.errors import InvalidManifestError
from tests.support.facade import running_facade
from tests.support.memory_client import MemoryClient

JOBS = "/api/training/jobs"
CONFIG = {"base_model": "a/b", "dataset_path": "c/d"}


def request(name: str, **changes: Any) -> JobRequest:
    values = {
        "dialect": "cluster",
        "original_id": name,
        "base_model": "a/b",
        "dataset": "c/d",
        "spec": {"method": "sft"},
        "request": {},
    }
    return JobRequest(**{"name": name, **values, **changes})


def _now() -> datetime:
    return datetime.now(UTC)


class Facades:
    """Several processes over one API server, each with its own client and cache."""

    def __init__(self, root: Path, *clients: Any) -> None:
        self.clients = clients
        self._root, self._stack = root, AsyncExitStack()
        self.submissions: list[Submissions] = []

    async def __aenter__(self) -> "Facades":
        for client in self.clients:
            settings = ApiSettings(workspace=self._root, default_gpus=0)
            store = Store(client, "default")
            store.start()
            self._stack.push_async_callback(store.stop)
            claims, files = Claims(client, "default", _now), Workspace(self._root)
            self.submissions.append(Submissions(settings, store, files, lambda _: None, claims, _now))
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._stack.aclose()


async def submitted_at_once(submissions: list[Submissions], count: int) -> list[JobView]:
    async def submit(number: int) -> JobView | None:
        try:
            return await submissions[number % len(submissions)].submit_unless_running(request(f"job-{number}"))
        except JobRunningError:
            return None

    return [job for job in await asyncio.gather(*map(submit, range(count))) if job is not None]


async def test_of_two_facades_at_once_one_wins(tmp_path: Path) -> None:
    client = MemoryClient()
    async with Facades(tmp_path, client, client) as facades:
        (winner,) = await submitted_at_once(facades.submissions, 10)
    assert [job["metadata"]["name"] for job in client.items(TRAINING_JOBS)] == [winner.name]


async def test_of_two_processes_of_one_machine_at_once_one_wins(tmp_path: Path) -> None:
    clients = [LocalClient(tmp_path / "store.db") for _ in range(2)]
    async with Facades(tmp_path, *clients) as facades:
        (winner,) = await submitted_at_once(facades.submissions, 6)
        listed = (await clients[0].list(TRAINING_JOBS, "default")).items
        assert [job["metadata"]["name"] for job in listed] == [winner.name]
    for client in clients:
        await client.close()


async def test_when_it_has_ended_the_next_may_come(tmp_path: Path) -> None:
    client = MemoryClient()
    async with Facades(tmp_path, client) as facades:
        submissions = facades.submissions[0]
        await submissions.submit_unless_running(request("one"))
        with pytest.raises(JobRunningError, match="one"):
            await submissions.submit_unless_running(request("two"))
        client.set_status(TRAINING_JOBS, "one", {"phase": "Succeeded"})
        await submissions.submit_unless_running(request("two"))
        await client.patch(TRAINING_JOBS, "two", "default", {"spec": {"cancel": True}})
        await submissions.submit_unless_running(request("three"))
        await client.delete(TRAINING_JOBS, "three", "default")
        await submissions.submit_unless_running(request("four"))


async def test_a_job_that_was_submitted_without_a_condition_counts(tmp_path: Path) -> None:
    async with Facades(tmp_path, MemoryClient()) as facades:
        submissions = facades.submissions[0]
        await submissions.submit(request("one"))
        with pytest.raises(JobRunningError, match="one"):
            await submissions.submit_unless_running(request("two"))


async def test_a_job_of_another_dialect_does_not_count(tmp_path: Path) -> None:
    async with Facades(tmp_path, MemoryClient()) as facades:
        submissions = facades.submissions[0]
        await submissions.submit_unless_running(request("one", dialect="milady"))
        await submissions.submit_unless_running(request("two"))


async def test_an_invalid_request_takes_no_claim(tmp_path: Path) -> None:
    client = MemoryClient()
    async with Facades(tmp_path, client) as facades:
        submissions = facades.submissions[0]
        with pytest.raises(InvalidManifestError):
            await submissions.submit_unless_running(request("one", spec={"method": "magic"}))
        assert client.items(LEASES) == []
        client.fail_next("create", UnavailableError(503, "x", "x"), TRAINING_JOBS)
        with pytest.raises(UnavailableError):
            await submissions.submit_unless_running(request("one"))
        await submissions.submit_unless_running(request("two"))


async def test_who_loses_the_claim_while_creating_withdraws(tmp_path: Path) -> None:
    client = MemoryClient()
    async with Facades(tmp_path, client) as facades:
        submissions = facades.submissions[0]

        async def create_late(manifest: Any) -> JobView:
            lease = client.items(LEASES)[0]
            client.seed(LEASES, {**lease, "spec": {**lease["spec"], "holderIdentity": "quick"}})
            return await original(manifest)

        store = submissions._store
        original, store.create_job = store.create_job, create_late  # type: ignore[method-assign]
        with pytest.raises(JobRunningError):
            await submissions.submit_unless_running(request("slow"))
    assert client.items(TRAINING_JOBS) == []


async def test_conditional_submits_with_one_key_are_one_job(tmp_path: Path) -> None:
    client = MemoryClient()
    async with Facades(tmp_path, client, client) as facades:
        keyed = request("one", request_digest="d")
        jobs = await asyncio.gather(*(one.submit_unless_running(keyed) for one in facades.submissions * 3))
        assert {job.uid for job in jobs} == {client.items(TRAINING_JOBS)[0]["metadata"]["uid"]}
        assert await facades.submissions[0].submit_unless_running(keyed)
        with pytest.raises(IdempotencyConflictError):
            await facades.submissions[0].submit_unless_running(request("one", request_digest="other"))


async def test_double_submits_with_a_key_through_two_facades_are_one_job(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        headers = {"idempotency-key": "once"}
        answers = await asyncio.gather(*(caller.post(JOBS, json=CONFIG, headers=headers) for _ in range(8)))
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.json()["job_id"] for answer in answers}) == 1
        assert len(facade.client.items(TRAINING_JOBS)) == 1
        other = await caller.post(JOBS, json={**CONFIG, "batch_size": 2}, headers=headers)
        assert (other.status_code, other.json()["error"]) == (422, "this Idempotency-Key was used for another request")
        assert len(facade.client.items(TRAINING_JOBS)) == 1


async def test_a_key_is_the_same_on_every_port(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller() as own, facade.caller(None) as main:
        headers = {"idempotency-key": "once"}
        first = await own.post(JOBS, json=CONFIG, headers=headers)
        again = await main.post(f"/ainode{JOBS}", json=CONFIG, headers=headers)
    assert first.json()["job_id"] == again.json()["job_id"]


async def test_a_key_is_for_one_source(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        resumed = set()
        for number in range(2):
            job_id = (await caller.post(JOBS, json=CONFIG)).json()["job_id"]
            name = job_id if job_id[0].isalpha() else f"j{job_id}"
            checkpoint = facade.job_path(name) / "attempts/1/checkpoints/checkpoint-5"
            checkpoint.mkdir(parents=True)
            (checkpoint / "fettle-checkpoint.json").write_text("{}")
            await facade.set_status(name, phase="Failed")
            answer = await caller.post(f"{JOBS}/{job_id}/resume", headers={"idempotency-key": "once"})
            assert answer.status_code == 201, number
            resumed.add(answer.json()["resume_job_id"])
    assert len(resumed) == 2


async def test_submits_without_a_key_are_jobs_of_their_own(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        answers = await asyncio.gather(*(caller.post(JOBS, json=CONFIG) for _ in range(8)))
        assert len({answer.json()["job_id"] for answer in answers}) == 8


async def test_neither_the_key_nor_a_secret_can_be_read_from_the_job(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        body = {**CONFIG, "hf_token": "hf_canary0123456789"}
        await caller.post(JOBS, json=body, headers={"idempotency-key": "canary-key-0123456789"})
        kept = str(facade.client.items(TRAINING_JOBS))
    assert "canary" not in kept
    assert "fettle.dev/request-digest" in kept


async def test_a_repeated_submit_makes_no_second_secret(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        for _ in range(2):
            answer = await caller.post(JOBS, json={**CONFIG, "hf_token": "hf_x"}, headers={"idempotency-key": "k"})
            assert answer.status_code == 201
        assert len(facade.client.items(SECRETS)) == 1


async def test_a_job_that_exists_without_a_key_is_no_repetition(tmp_path: Path) -> None:
    async with Facades(tmp_path, MemoryClient()) as facades:
        await facades.submissions[0].submit(request("one"))
        with pytest.raises(ApiError, match="already exists"):
            await facades.submissions[0].submit(request("one"))
        with pytest.raises(IdempotencyConflictError):
            await facades.submissions[0].submit(request("one", request_digest="d"))


def test_a_key_means_nothing_to_others() -> None:
    headers = {"Idempotency-Key": "k"}
    digits = {identify(headers, principal, scope, {}).digits for principal in ("a", "b") for scope in ("x", "y")}
    assert len(digits) == 4
    assert identify(headers, "a", "x", {"p": 1, "q": 2}) == identify(headers, "a", "x", {"q": 2, "p": 1})
    assert identify({}, "a", "x", {}).digits != identify({}, "a", "x", {}).digits


async def test_registered_datasets_and_uploaded_files_are_found_by_name(tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller() as caller:
        await caller.post(
            "/api/datasets", json={"source": "huggingface", "repo_id": "acme/data", "name": "ours", "split": "test"}
        )
        await caller.post("/api/datasets/upload", files={"file": ("rows.jsonl", b'{"text": "a"}')})
        for body in (
            {"dataset_id": "ours"},
            {"dataset_path": "ours"},
            {"dataset_path": "rows.jsonl"},
            {"dataset_path": "rows"},
            {"dataset_id": "rows", "dataset_path": "ignored"},
        ):
            assert (await caller.post(JOBS, json={"base_model": "a/b", **body})).status_code == 201
        jobs = facade.client.items(TRAINING_JOBS)
    jobs.sort(key=lambda job: job["metadata"]["annotations"]["fettle.dev/created-at"])
    hub = {"huggingFace": {"id": "acme/data", "split": "test"}}
    rows = {"workspace": {"path": "datasets/rows"}}
    assert [job["spec"]["dataset"]["source"] for job in jobs] == [hub, hub, rows, rows, rows]


async def test_a_check_says_what_a_submit_would_ask_for_and_creates_nothing(tmp_path: Path) -> None:
    async with Facades(tmp_path, MemoryClient()) as facades:
        spec = await facades.submissions[0].check(request("demo"))
        assert (spec.base_model.id, spec.hyperparameters.batch_size) == ("a/b", 4)
        with pytest.raises(InvalidManifestError):
            await facades.submissions[0].check(request("demo", base_model="no/such/model"))
        assert facades.clients[0].items(TRAINING_JOBS) == []


async def test_where_a_dataset_would_be_read(tmp_path: Path) -> None:
    (tmp_path / "datasets/rows").mkdir(parents=True)
    async with Facades(tmp_path, MemoryClient()) as facades:
        local = await facades.submissions[0].dataset_source("rows", "test")
        assert local.manifest() == {"workspace": {"path": "datasets/rows"}}
        hub = await facades.submissions[0].dataset_source("c/d", "test")
        assert hub.manifest() == {"huggingFace": {"id": "c/d", "split": "test"}}
        with pytest.raises(InvalidManifestError):
            await facades.submissions[0].dataset_source("../etc")
