"""Each `<dialect>.yaml` here is a published document as a table of calls; all of them are made, in process."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from fettle_client.protocol import TRAINING_JOBS
from tests.support.facade import Facade, running_facade

TABLES = sorted(Path(__file__).parent.glob("*.yaml"))
CASES = [
    pytest.param(table.stem, case, id=f"{table.stem}: {case['name']}")
    for table in TABLES
    for case in yaml.safe_load(table.read_text())
]


@pytest.mark.parametrize(("dialect", "case"), CASES)
async def test_the_documented_call_is_answered(dialect: str, case: dict[str, Any], tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller(dialect) as caller:
        job_id = await _make_job(facade, caller, case["given"]) if "given" in case else ""
        answer = await caller.send(_request(caller, case["request"], job_id))
        _compare(answer, case["answer"], job_id)


async def _make_job(facade: Facade, caller: httpx.AsyncClient, given: dict[str, Any]) -> str:
    answer = await caller.post("/api/training/jobs", json={"base_model": "a/b", "dataset_path": "d"})
    job_id = str(answer.json()["job_id"])
    (job,) = facade.client.items(TRAINING_JOBS)
    name = job["metadata"]["name"]
    if "status" in given:
        await facade.set_status(name, **given["status"])
    for key, file_name in (("log", "log.txt"), ("metrics", "metrics.jsonl")):
        if key in given:
            (facade.job_path(name) / file_name).write_text(given[key])
    for file_name, content in given.get("output", {}).items():
        path = facade.root / given["status"]["output"]["path"] / file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(content) if isinstance(content, int) else content.encode())
    return job_id


def _request(caller: httpx.AsyncClient, wanted: dict[str, Any], job_id: str) -> httpx.Request:
    content: dict[str, Any] = {}
    if "body" in wanted:
        content = {"json": wanted["body"]}
    elif "raw" in wanted or "raw_bytes" in wanted:
        content = {"content": wanted.get("raw", "").encode() or b" " * wanted.get("raw_bytes", 0)}
    path = wanted["path"].replace("{id}", job_id)
    return caller.build_request(wanted["method"], path, headers=wanted.get("headers"), **content)


def _compare(answer: httpx.Response, wanted: dict[str, Any], job_id: str) -> None:
    assert answer.status_code == wanted["status"], answer.text
    for name, value in wanted.get("headers", {}).items():
        assert answer.headers.get(name) == value
    if "text" in wanted:
        assert answer.text == wanted["text"]
        return
    assert answer.headers["content-type"] == "application/json"
    exactly = "exactly" in wanted
    _match(answer.json(), wanted["exactly" if exactly else "body"], job_id, exactly, "body")


def _match(found: Any, wanted: Any, job_id: str, exactly: bool, where: str) -> None:
    if isinstance(wanted, dict):
        assert isinstance(found, dict), where
        if exactly:
            assert found.keys() == wanted.keys(), where
        for key, value in wanted.items():
            assert key in found, f"{where}.{key} is missing"
            _match(found[key], value, job_id, exactly, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), f"{where}: {found}"
        for index, value in enumerate(wanted):
            _match(found[index], value, job_id, exactly, f"{where}[{index}]")
    elif isinstance(wanted, str):
        _match_text(found, wanted.replace("{id}", job_id), where)
    else:
        assert found == wanted, f"{where}: {found!r} is not {wanted!r}"
        assert isinstance(found, bool) == isinstance(wanted, bool), where


def _match_text(found: Any, wanted: str, where: str) -> None:
    if wanted == "<number>":
        assert isinstance(found, int | float), where
    elif wanted == "<id>":
        assert re.fullmatch("[0-9a-f]{12}", found), where
    elif count := re.fullmatch(r"<(\d+) items>", wanted):
        assert len(found) == int(count.group(1)), where
    elif part := re.fullmatch(r"<string (.*)>", wanted):
        assert part.group(1) in found, f"{where}: {found!r}"
    else:
        assert found == wanted, f"{where}: {found!r} is not {wanted!r}"
