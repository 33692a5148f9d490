"""Makes the calls of a table and compares the answers. Knows no dialect and no client: a `World` is where it runs.

A table is `<dialect>.yaml`: how a job is made (`job`), and `cases`. A case may prepare something (`given`), makes one
`request`, and says what the `answer` must be. The form is described at the head of `ainode.yaml`.
"""

import re
from collections.abc import Mapping
from contextlib import AsyncExitStack
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import httpx
import yaml

from tests.dialects.openapi_check import check_documented
from tests.support.ollama_stand_in import ollama_stand_in

Variables = dict[str, str]

SERVERS = {"ollama": ollama_stand_in}
"""Stand-ins of servers that a facade calls; a case that names one has its URL in braces."""

_documents: dict[str, dict[str, Any]] = {}
"""OpenAPI documents by dialect: making one takes longer than most cases."""


class World(Protocol):
    """A running facade, and hands to do what operator, receiver and trainer would do."""

    def caller(self, dialect: str) -> httpx.AsyncClient:
        """A client of the dialect's own port."""
        ...

    async def job_name(self, original_id: str) -> str:
        """Name of the TrainingJob with this id."""
        ...

    async def set_status(self, name: str, status: Mapping[str, Any]) -> None:
        """Write the status, and wait until the facade has seen it."""
        ...

    async def job_directory(self, name: str) -> str:
        """Where the job's files lie inside the workspace."""
        ...

    async def add_adapter(self, name: str, spec: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        """An Adapter as the operator would leave it, which the facade has seen."""
        ...

    def write(self, path: str, content: bytes) -> None:
        """A file of the workspace."""
        ...

    def link(self, path: str, target: str) -> None:
        """A symbolic link in the workspace."""
        ...


@cache
def load_table(path: Path) -> dict[str, Any]:
    """The table of one dialect; nobody changes it."""
    table: dict[str, Any] = yaml.load(path.read_text(), yaml.CSafeLoader)  # ten times as fast as the one in Python
    return table


async def run_case(world: World, dialect: str, table: Mapping[str, Any], case: Mapping[str, Any]) -> None:
    """Fails with the place where the answer differs."""
    async with world.caller(dialect) as caller, AsyncExitStack() as stack:
        servers = await _start(stack, case.get("servers", []))
        variables = await _prepare(world, caller, table, case.get("given"), servers)
        answer = await caller.send(build_request(caller, case["request"], variables))
        compare(answer, case["answer"], variables)
        if dialect not in _documents:
            _documents[dialect] = (await caller.get(table.get("openapi", "/openapi.json"))).json()
        check_documented(_documents[dialect], answer)


async def _start(stack: AsyncExitStack, names: list[str]) -> Variables:
    """Servers that the facade is to call: name → URL."""
    return {name: (await stack.enter_async_context(SERVERS[name]())).url for name in names}


async def _prepare(
    world: World,
    caller: httpx.AsyncClient,
    table: Mapping[str, Any],
    given: Mapping[str, Any] | None,
    servers: Variables,
) -> Variables:
    variables: Variables = dict(servers)
    if given is None:
        return variables
    if given.get("job", True):
        await _make_job(world, caller, table["job"], given, variables)
    for adapter_name, adapter in given.get("adapters", {}).items():
        made = _substituted(adapter, variables)
        await world.add_adapter(_substituted(adapter_name, variables), made["spec"], made["status"])
    for path, content in given.get("files", {}).items():
        world.write(path, _bytes(content))
    for path, target in given.get("links", {}).items():
        world.link(path, target)
    for call in given.get("calls", []):
        answer = await caller.send(build_request(caller, call["request"], variables))
        assert answer.status_code == call.get("status", answer.status_code), answer.text
        for name, field in call.get("save", {}).items():
            variables[name] = str(_field(answer.json(), field))
    for name, ended in _substituted(given.get("ended", {}), variables).items():
        await _end_job(world, name, ended)
    return variables


async def _end_job(world: World, name: str, ended: Mapping[str, Any]) -> None:
    directory = await world.job_directory(name)
    for file_name, content in ended.get("files", {}).items():
        world.write(f"{directory}/{file_name}", _bytes(content))
    await world.set_status(name, ended["status"])


async def _make_job(
    world: World,
    caller: httpx.AsyncClient,
    how: Mapping[str, Any],
    given: Mapping[str, Any],
    variables: Variables,
) -> None:
    for path, content in how.get("files", {}).items():
        world.write(path, _bytes(content))
    request = {**how["request"], **given.get("request", {})}
    answer = await caller.send(build_request(caller, request, variables))
    assert answer.is_success, answer.text
    variables["id"] = str(_field(answer.json(), how["id"]))
    name = variables["name"] = await world.job_name(variables["id"])
    if "status" in given:
        await world.set_status(name, given["status"])
    directory = await world.job_directory(name)
    variables["uid8"] = directory[-8:]
    for key, file_name in (("log", "log.txt"), ("metrics", "metrics.jsonl")):
        if key in given:
            world.write(f"{directory}/{file_name}", _bytes(given[key]))
    for checkpoint in given.get("checkpoints", []):
        world.write(f"{directory}/attempts/{checkpoint}/fettle-checkpoint.json", b"{}")
    for file_name, content in given.get("output", {}).items():
        world.write(f"{given['status']['output']['path']}/{file_name}", _bytes(content))


def build_request(caller: httpx.AsyncClient, wanted: Mapping[str, Any], variables: Variables) -> httpx.Request:
    """A request as the table writes it."""
    content: dict[str, Any] = {}
    if "body" in wanted:
        content = {"json": _substituted(wanted["body"], variables)}
    elif "form" in wanted:
        file = wanted["form"].get("file")
        parts = {"file": (file["name"], _bytes(file["content"]))} if file else {"none": (None, "")}
        content = {"files": parts, "data": wanted["form"].get("fields", {})}
    elif "raw" in wanted or "raw_bytes" in wanted:
        content = {"content": wanted.get("raw", "").encode() or b" " * wanted.get("raw_bytes", 0)}
    path = _substituted(wanted["path"], variables)
    return caller.build_request(wanted["method"], path, headers=wanted.get("headers"), **content)


def compare(answer: httpx.Response, wanted: Mapping[str, Any], variables: Variables) -> None:
    """Status, headers and body."""
    assert answer.status_code == wanted["status"], answer.text
    for name, value in wanted.get("headers", {}).items():
        assert answer.headers.get(name) == value
    if "text" in wanted:
        assert answer.text == wanted["text"]
        return
    assert answer.headers["content-type"] == "application/json"
    exactly = "exactly" in wanted
    _match(answer.json(), _substituted(wanted["exactly" if exactly else "body"], variables), exactly, "body")


def _match(found: Any, wanted: Any, exactly: bool, where: str) -> None:
    if isinstance(wanted, dict):
        assert isinstance(found, dict), where
        if exactly:
            assert found.keys() == wanted.keys(), where
        for key, value in wanted.items():
            assert key in found, f"{where}.{key} is missing"
            _match(found[key], value, exactly, f"{where}.{key}")
    elif isinstance(wanted, list):
        assert len(found) == len(wanted), f"{where}: {found}"
        for index, value in enumerate(wanted):
            _match(found[index], value, exactly, f"{where}[{index}]")
    elif isinstance(wanted, str):
        _match_text(found, wanted, where)
    else:
        assert found == wanted, f"{where}: {found!r} is not {wanted!r}"
        assert isinstance(found, bool) == isinstance(wanted, bool), where


def _match_text(found: Any, wanted: str, where: str) -> None:
    if wanted == "<number>":
        assert isinstance(found, int | float), f"{where}: {found!r}"
        assert not isinstance(found, bool), where
    elif wanted == "<string>":
        assert isinstance(found, str), f"{where}: {found!r}"
    elif wanted == "<id>":
        assert re.fullmatch("[0-9a-f]{12}", found), where
    elif count := re.fullmatch(r"<(\d+) items>", wanted):
        assert len(found) == int(count.group(1)), f"{where}: {found}"
    elif part := re.fullmatch(r"<string (.*)>", wanted):
        assert part.group(1) in found, f"{where}: {found!r}"
    elif pattern := re.fullmatch(r"<like (.*)>", wanted):
        assert re.fullmatch(pattern.group(1), found), f"{where}: {found!r}"
    else:
        assert found == wanted, f"{where}: {found!r} is not {wanted!r}"


def _field(value: Any, path: str) -> Any:
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


def _substituted(value: Any, variables: Variables) -> Any:
    if isinstance(value, str):
        for name, text in variables.items():
            value = value.replace(f"{{{name}}}", text)
        return value
    if isinstance(value, list):
        return [_substituted(item, variables) for item in value]
    if isinstance(value, dict):
        return {_substituted(key, variables): _substituted(item, variables) for key, item in value.items()}
    return value


def _bytes(content: Any) -> bytes:
    """Text, or a number of zero bytes."""
    return bytes(content) if isinstance(content, int) else str(content).encode()
