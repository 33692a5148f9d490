"""Every operation of every dialect, with bodies and names that nobody should send: a documented 4xx, never a 5xx."""

import json
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from fettle_api.app import DIALECTS
from tests.dialects.openapi_check import check_documented
from tests.support.facade import Facade, running_facade

BODIES = {
    "nothing": b"",
    "half of an object": b"{",
    "a form": b"a=1&b=2",
    "a list": b"[1]",
    "a text": b'"x"',
    "null": b"null",
    "NaN": b'{"a": NaN}',
    "a huge number": b'{"a": 1e999}',
    "half a surrogate pair": b'{"a": "\\ud800"}',
    "not UTF-8": b'{"a": "\xff"}',
    "deep lists": b"[" * 100_000,
    "deep objects": b'{"a":' * 5_000 + b"1" + b"}" * 5_000,
    "a huge body": b'{"a": "' + b"x" * 2_000_000 + b'"}',
    "NUL alone": b"\0",
}
VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    1.5e-300,
    "",
    "\0",
    "../../etc/passwd",
    "x" * 100_000,
    [],
    {},
    [[]],
)
NAMES = (
    "..",
    ".",
    "%2e%2e",
    "..%2f..%2fetc",
    "a%2fb",
    "a%00b",
    "%ff",
    "x" * 5_000,
    "-",
    "A_B",
    "%20",
    "a%0ab",
    "%5c..",
)
TRACES = ("Traceback", "/site-packages/", "pydantic", 'File "')


def answers_well(document: dict[str, Any], answer: httpx.Response, what: str) -> None:
    assert answer.status_code < 500, f"{what}: {answer.status_code} {answer.text[:200]}"
    assert all(trace not in answer.text for trace in TRACES), what
    if answer.status_code >= 400:
        assert len(answer.text) < 20_000, what
    check_documented(document, answer)


@pytest.fixture(params=[dialect.name for dialect in DIALECTS])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def document_of(caller: httpx.AsyncClient, name: str) -> dict[str, Any]:
    (path,) = [dialect.openapi_path for dialect in DIALECTS if dialect.name == name]
    document: dict[str, Any] = (await caller.get(path)).json()
    return document


def json_operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), re.sub(r"\{[^}]+\}", "abc123abc123", path), operation["requestBody"]["content"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if "requestBody" in operation
    ]


def with_optional_bodies(document: dict[str, Any]) -> set[tuple[str, str]]:
    bodies = {
        (method.upper(), re.sub(r"\{[^}]+\}", "abc123abc123", path)): operation.get("requestBody", {})
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    return {place for place, body in bodies.items() if not body.get("required")}


async def test_bodies_that_are_no_request(tmp_path: Path, dialect: str) -> None:
    async with running_facade(tmp_path) as facade, facade.caller(dialect) as caller:
        document = await document_of(caller, dialect)
        for method, path, content in json_operations(document):
            for name, body in BODIES.items():
                if not body and (method, path) in with_optional_bodies(document):
                    continue  # that is a request
                kind = next(iter(content))
                headers = {"content-type": f"{kind}; boundary=x"}
                answer = await caller.request(method, path, content=body, headers=headers)
                answers_well(document, answer, f"{method} {path} with {name}")
        nothing_was_made(facade, tmp_path)


def nothing_was_made(facade: Facade, root: Path) -> None:
    assert [path for path in root.rglob("*") if path.is_file() or path.name.startswith(".")] == []


async def test_fields_of_every_wrong_kind(tmp_path: Path, dialect: str) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    async with running_facade(root) as facade, facade.caller(dialect) as caller:
        document = await document_of(caller, dialect)
        for method, path, content in json_operations(document):
            properties = content.get("application/json", {}).get("schema", {}).get("properties", {})
            for name in properties:
                for value in VALUES:
                    body = json.dumps({name: value}).encode()
                    answer = await caller.request(method, path, content=body)
                    answers_well(document, answer, f"{method} {path} with {name}={str(value)[:40]!r}")
    assert os.listdir(tmp_path) == ["workspace"]


async def test_names_that_are_paths(tmp_path: Path, dialect: str) -> None:
    root = tmp_path / "workspace"
    root.mkdir()
    (tmp_path / "secret.txt").write_text("the secret")
    async with running_facade(root) as facade, facade.caller(dialect) as caller:
        document = await document_of(caller, dialect)
        for path, operations in document["paths"].items():
            for method in operations:
                for name in NAMES:
                    target = re.sub(r"\{[^}]+\}", name, path)
                    if "{" not in path:
                        target += f"?limit={quote(name)}&tail={name}"
                    request = httpx.Request(method.upper(), f"{str(caller.base_url).rstrip('/')}{target}")
                    answer = await caller.send(request)
                    answers_well(document, answer, f"{method} {target[:80]}")
                    assert "the secret" not in answer.text
        assert (tmp_path / "secret.txt").exists()


async def test_names_in_headers_that_are_none(tmp_path: Path, dialect: str) -> None:
    async with running_facade(tmp_path) as facade, facade.caller(dialect) as caller:
        document = await document_of(caller, dialect)
        for method, path, _ in json_operations(document):
            for key in ("", " ", "x" * 300, "a\tb", "ü".encode().decode("latin-1")):
                headers = [(b"idempotency-key", key.encode("latin-1"))]
                answer = await caller.request(method, path, content=b"{}", headers=headers)
                answers_well(document, answer, f"{method} {path} with key {key[:9]!r}")
