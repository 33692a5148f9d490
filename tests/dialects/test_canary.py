"""A secret that comes with a request is in the job's Secret, and nowhere else.

`LINES` has a line for each field of a request that takes a secret, and for the places where callers are likely to put
one though no document says so. A new dialect adds its lines; a document with a field that sounds like a secret and has
no line fails.
"""

import base64
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from fettle_api.app import DIALECTS
from fettle_client import protocol
from fettle_client.protocol import SECRETS, TRAINING_JOBS, InvalidError, ResourceKind
from tests.dialects.runner import load_table
from tests.support.facade import Facade, running_facade
from tests.support.websocket_caller import connected

CANARY = "hf_CanaryThatMustNotBeSeenAnywhere1234"
KEY = "sk-CanaryThatIsTheKeyOfTheInstallation"
UNKNOWN = dict.fromkeys(("hf_token", "wandb_key", "wandb_api_key", "api_key", "token", "password"), CANARY)
KINDS = [value for value in vars(protocol).values() if isinstance(value, ResourceKind)]


@dataclass(frozen=True)
class Line:
    """One request that holds the canary."""

    method: str
    path: str
    body: Any = None
    variables: frozenset[str] = frozenset()
    """Keys of the job's Secret that hold it afterwards."""
    fields: frozenset[str] = frozenset()
    """Names of fields in the OpenAPI document that this line is for."""


def submit(dialect: str, secrets: Mapping[str, Any], *variables: str) -> Line:
    """The submission of the dialect's table with further fields."""
    request = TABLES[dialect]["job"]["request"]
    body = {**request.get("body", {}), **secrets}
    return Line(request["method"], request["path"], body, frozenset(variables), frozenset(secrets))


TABLES = {path.stem: load_table(path) for path in Path(__file__).parent.glob("*.yaml")}
MERLINA = {"output_name": "x", "base_model": "meta-llama/gated", "hf_token": CANARY, "wandb_key": CANARY}
LINES: dict[str, list[Line]] = {
    "ainode": [
        submit("ainode", {"hf_token": CANARY}, "HF_TOKEN"),
        submit("ainode", {"hf_token": [CANARY]}),
        submit("ainode", {"hf_token": CANARY, "num_epochs": -1}),
        submit("ainode", {"hf_token": CANARY, "base_model": ""}),
        submit("ainode", {"hf_token": CANARY, **{name: CANARY for name in UNKNOWN if name != "hf_token"}}, "HF_TOKEN"),
        Line("POST", "/api/training/estimate", {"base_model": "a/b", "dataset_path": "d", "hf_token": CANARY}),
        Line("POST", "/api/training/templates", {"name": "t", "default_params": {**UNKNOWN, "num_epochs": 2}}),
        Line("POST", "/api/training/templates", {"name": "t", "default_params": {"hf_token": [CANARY]}}),
        Line("POST", "/api/datasets", {"source": "huggingface", "repo_id": "a/b", **UNKNOWN}),
    ],
    "qlora": [submit("qlora", UNKNOWN)],
    "cluster": [submit("cluster", UNKNOWN)],
    "milady": [
        submit("milady", UNKNOWN),
        Line("POST", "/api/training/trajectories", {"id": "t", "llmCalls": [{"systemPrompt": CANARY}]}),
        Line("POST", "/api/training/trajectories", {"id": "t", "stepsJson": [{"hf_token": CANARY}], "token": CANARY}),
    ],
    "merlina": [
        submit("merlina", {"hf_token": CANARY, "wandb_key": CANARY}, "HF_TOKEN", "WANDB_API_KEY"),
        submit("merlina", {"hf_token": {"a": CANARY}}),
        submit("merlina", {"hf_token": CANARY, "num_epochs": -1}),
        submit("merlina", {"hf_token": CANARY, "max_length": 512, "max_prompt_length": 512}),
        submit("merlina", {name: CANARY for name in UNKNOWN if name not in ("hf_token", "wandb_key")}),
        Line("POST", "/validate", MERLINA),
        Line("POST", "/validate", {**MERLINA, "num_epochs": -1}),
        Line("POST", "/configs/save", {"name": "c", "config": {**MERLINA, "deeper": [{"hf_token": CANARY}]}}),
        Line("POST", "/configs/save", {"name": "", "config": MERLINA}),
        Line("POST", "/model/preload", {"model_name": "a/b", "hf_token": CANARY}),
    ],
    "openai": [submit("openai", UNKNOWN), Line("POST", "/files", UNKNOWN)],
}
SOCKETS = {"merlina": "/ws/{id}", "milady": "/ws"}
CASES = [
    pytest.param(dialect, line, id=f"{dialect}-{number}-{line.path}")
    for dialect, lines in LINES.items()
    for number, line in enumerate(lines)
]


@dataclass
class Seen:
    """What callers, administrators and neighbours could read."""

    texts: dict[str, str] = field(default_factory=dict)

    def add(self, where: str, text: str) -> None:
        self.texts[f"{len(self.texts)} {where}"] = text

    def holding(self, secret: str) -> list[str]:
        """The places where a secret stands, plain or in Base64."""
        encoded = [base64.b64encode(b"x" * shift + secret.encode()).decode()[4:-4] for shift in range(3)]
        return [where for where, text in self.texts.items() if any(one in text for one in (secret, *encoded))]


@pytest.mark.parametrize(("dialect", "line"), CASES)
async def test_a_secret_is_in_the_jobs_secret_and_nowhere_else(
    dialect: str, line: Line, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen()
    async with keyed_facade(dialect, tmp_path, caplog) as facade, facade.caller(dialect, headers=BEARER) as caller:
        seen.add("the answer", everything_of(await caller.request(line.method, line.path, json=line.body)))
        seen.add("the same again", everything_of(await caller.request(line.method, line.path, json=line.body)))
        await finish_jobs_seen_live(dialect, facade, seen)
        kept = secrets_of(facade)
        await look_around(dialect, caller, facade, seen)
        look_at_resources(facade, seen)
    look_at_files(tmp_path / "workspace", seen)
    look_at_logs(caplog, seen)
    assert seen.holding(CANARY) == []
    assert seen.holding(KEY) == []
    assert set().union(*kept.values()) == line.variables


@pytest.mark.parametrize("dialect", LINES)
async def test_a_body_that_cannot_be_read_is_not_quoted(
    dialect: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen()
    async with keyed_facade(dialect, tmp_path, caplog) as facade, facade.caller(dialect, headers=BEARER) as caller:
        for line in LINES[dialect]:
            for content in (f'{{"hf_token": "{CANARY}"', f'["{CANARY}"]', f'"{CANARY}"', f"hf_token={CANARY}"):
                answer = await caller.request(line.method, line.path, content=content.encode())
                assert 400 <= answer.status_code < 500
                seen.add(f"{line.path} with {content[:8]}", everything_of(answer))
        look_at_resources(facade, seen)
    look_at_files(tmp_path / "workspace", seen)
    look_at_logs(caplog, seen)
    assert seen.holding(CANARY) == []


QUOTES = f"a bug near {CANARY}"


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        (SECRETS, InvalidError(422, "Invalid", QUOTES)),
        (SECRETS, RuntimeError(QUOTES)),
        (TRAINING_JOBS, RuntimeError(QUOTES)),
    ],
    ids=["refused secret", "lost secret", "lost job"],
)
@pytest.mark.parametrize(
    ("dialect", "line"), [case for case in CASES if case.values[1].variables], ids=lambda value: str(value)[:8]
)
async def test_an_api_server_that_quotes_what_it_refuses(
    dialect: str, line: Line, kind: ResourceKind, error: Exception, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen()
    async with keyed_facade(dialect, tmp_path, caplog) as facade, facade.caller(dialect, headers=BEARER) as caller:
        facade.client.fail_next("create", error, kind)
        seen.add("the answer", everything_of(await caller.request(line.method, line.path, json=line.body)))
        look_at_resources(facade, seen)
    look_at_files(tmp_path / "workspace", seen)
    look_at_logs(caplog, seen)
    assert seen.holding(CANARY) == []


@pytest.mark.parametrize("dialect", LINES)
@pytest.mark.parametrize("headers", [{"authorization": f"Bearer {CANARY}"}, {"x-api-key": CANARY}])
async def test_a_wrong_key_is_not_quoted(
    dialect: str, headers: dict[str, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seen = Seen()
    async with keyed_facade(dialect, tmp_path, caplog) as facade, facade.caller(dialect, headers=headers) as caller:
        answer = await caller.request(LINES[dialect][0].method, LINES[dialect][0].path, json={})
        assert answer.status_code == 401
        seen.add("the answer", everything_of(answer))
    look_at_logs(caplog, seen)
    assert seen.holding(CANARY) == []


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_every_field_that_sounds_like_a_secret_has_a_line(dialect: Any, tmp_path: Path) -> None:
    async with running_facade(tmp_path) as facade, facade.caller(dialect.name) as caller:
        document = (await caller.get(dialect.openapi_path)).json()
    known = {name for line in LINES[dialect.name] for name in names_in(line.body)}
    assert secret_fields(document) <= known, "add a line to LINES"


SOUNDS_SECRET = re.compile(r"(^|_)(token|key|secret|password|credentials?)$|[a-z](Token|Key|Secret|Password)$")


def secret_fields(document: Mapping[str, Any]) -> set[str]:
    bodies = [
        content["schema"]
        for operations in document["paths"].values()
        for operation in operations.values()
        for content in operation.get("requestBody", {}).get("content", {}).values()
    ]
    return {name for body in bodies for name in names_in(body) if SOUNDS_SECRET.search(name)}


def names_in(value: Any) -> Iterator[str]:
    """Keys of objects, however deep."""
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
        yield from names_in(item)
    if isinstance(value, dict):
        yield from value


BEARER = {"authorization": f"Bearer {KEY}"}


def keyed_facade(dialect: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Any:
    caplog.set_level(logging.DEBUG)
    root, key_file = tmp_path / "workspace", tmp_path / "key"
    key_file.write_text(KEY)
    for path, content in {"x": "", **TABLES[dialect]["job"].get("files", {})}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    return running_facade(root, authentication="apikey", api_key_file=key_file, host="0.0.0.0")


async def finish_jobs_seen_live(dialect: str, facade: Facade, seen: Seen) -> None:
    """The first message of the dialect's WebSocket, if it has one, and what comes when the jobs end."""
    jobs = facade.client.items(TRAINING_JOBS)
    if dialect not in SOCKETS or not jobs:
        await finish_jobs(facade)
        return
    path = SOCKETS[dialect].format(id=ids_of(jobs)[0])
    async with connected(facade.app.state.ports[dialect], path, BEARER) as socket:
        seen.add("a first message", str(await socket.receive()))
        await finish_jobs(facade)
        seen.add("a last message", str(await socket.receive()))


async def finish_jobs(facade: Facade) -> None:
    """As if they had run: what is derived from a job must be possible."""
    for job in facade.client.items(TRAINING_JOBS):
        name = job["metadata"]["name"]
        directory = facade.job_path(name) / "attempts/1/checkpoints/checkpoint-1"
        directory.mkdir(parents=True)
        (directory / "fettle-checkpoint.json").write_text("{}")
        (facade.root / f"adapters/{name}/0123").mkdir(parents=True)
        output = {"kind": "adapter", "path": f"adapters/{name}/0123", "digest": f"sha256:{'0' * 64}"}
        await facade.set_status(name, phase="Succeeded", completionTime="2026-01-01T12:00:00Z", output=output)


async def look_around(dialect: str, caller: httpx.AsyncClient, facade: Facade, seen: Seen) -> None:
    """Everything that can be read, and everything that can be derived from a job; deleted at last."""
    (path,) = [one.openapi_path for one in DIALECTS if one.name == dialect]
    document = (await caller.get(path)).json()
    ids = ids_of(facade.client.items(TRAINING_JOBS))
    for method in ("get", "post", "get", "delete"):
        for template, operations in document["paths"].items():
            if method not in operations or (method == "post" and "{" not in template):
                continue
            for job_id in ids[:1] or ["c"]:
                target = re.sub(r"\{[^}]+\}", job_id, template)
                answer = await caller.request(method, target, json={} if method == "post" else None)
                seen.add(f"{method} {target}", everything_of(answer))
    async with facade.caller(None, headers=BEARER) as main:
        for target in ("/metrics", "/healthz", "/readyz"):
            seen.add(target, everything_of(await main.get(target)))


def ids_of(jobs: list[dict[str, Any]]) -> list[str]:
    return [job["metadata"]["annotations"].get("fettle.dev/original-id", job["metadata"]["name"]) for job in jobs]


def everything_of(answer: httpx.Response) -> str:
    return f"{answer.headers}\n{answer.text}"


def secrets_of(facade: Facade) -> dict[str, set[str]]:
    """Which keys of which job's Secret hold the canary."""
    encoded = base64.b64encode(CANARY.encode()).decode()
    return {
        secret["metadata"]["name"]: {key for key, value in secret["data"].items() if value == encoded}
        for secret in facade.client.items(SECRETS)
        if secret["metadata"]["ownerReferences"] and secret["metadata"]["name"].endswith("-credentials")
    }


def look_at_resources(facade: Facade, seen: Seen) -> None:
    for kind in KINDS:
        for item in facade.client.items(kind):
            shown = {name: value for name, value in item.items() if kind is not SECRETS or name != "data"}
            seen.add(f"{kind.kind} {item['metadata']['name']}", str(shown))


def look_at_files(root: Path, seen: Seen) -> None:
    for path in root.rglob("*"):
        seen.add(f"file {path.name}", path.name)
        if path.is_file():
            seen.add(f"content of {path.name}", path.read_bytes().decode("utf-8", "replace"))


def look_at_logs(caplog: pytest.LogCaptureFixture, seen: Seen) -> None:
    for record in caplog.records:
        seen.add(f"log of {record.name}", f"{record.getMessage()} {record.__dict__} {record.exc_text}")
