import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from fettle_api.app import DIALECTS
from fettle_api.dialects.dialect import Dialect
from fettle_api.web.documentation import documented, inlined_schema
from fettle_api.web.documentation_page import render_page
from tests.support.facade import running_facade

NAMES = [dialect.name for dialect in DIALECTS]


class Inner(BaseModel):
    """Inside."""

    value: int


class Outer(BaseModel):
    """Outside."""

    inner: Inner
    many: list[Inner] = []


def test_a_request_is_described_without_references() -> None:
    schema = inlined_schema(Outer)
    assert "$ref" not in str(schema)
    assert schema["properties"]["many"]["items"]["properties"]["value"]["type"] == "integer"


def test_a_submit_knows_its_key_and_its_refusals() -> None:
    options = documented({201: Outer}, (404,), body=Outer, takes_key=True)
    assert options["status_code"] == 201
    assert options["responses"].keys() == {201, 400, 404, 413, 422}
    assert [parameter["name"] for parameter in options["openapi_extra"]["parameters"]] == ["Idempotency-Key"]


@pytest.mark.parametrize(
    ("dialect", "page_path"), [(dialect, path) for dialect in DIALECTS for path in dialect.page_paths]
)
async def test_each_dialect_has_a_document_and_a_page(tmp_path: Path, dialect: Dialect, page_path: str) -> None:
    async with running_facade(tmp_path) as facade, facade.caller(dialect.name) as caller:
        document = (await caller.get(dialect.openapi_path)).json()
        page = await caller.get(page_path)
    assert document["openapi"].startswith("3.")
    assert document.get("servers") == ([{"url": dialect.prefix}] if dialect.prefix else None)
    assert page.headers["content-type"].startswith("text/html")
    assert "<script" not in page.text
    assert not re.search(r"(src|href)=.?(https?:)?//", page.text)
    for path, operations in document["paths"].items():
        assert path in page.text
        for operation in operations.values():
            assert {"401", "403", "503"} <= operation["responses"].keys()
            assert operation.get("description"), path
            assert "HTTPValidationError" not in str(operation)


@pytest.mark.parametrize("name", NAMES)
async def test_every_reference_leads_somewhere_and_operations_have_names_of_their_own(
    tmp_path: Path, name: str
) -> None:
    async with running_facade(tmp_path) as facade, facade.caller(name) as caller:
        document = (await caller.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", str(document))) <= schemas.keys()
    ids = [operation["operationId"] for operations in document["paths"].values() for operation in operations.values()]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.name)
async def test_below_a_prefix_the_document_says_so(tmp_path: Path, dialect: Dialect) -> None:
    root, page_path = dialect.mount_path, dialect.page_paths[0]
    async with running_facade(tmp_path) as facade, facade.caller(None) as caller:
        assert (await caller.get(f"{root}{dialect.openapi_path}")).json()["servers"] == [{"url": root}]
        assert f'href="{root}{dialect.openapi_path}"' in (await caller.get(f"{root}{page_path}")).text
        assert (await caller.post(f"{root}{page_path}")).status_code == 405


def test_the_page_escapes_what_it_shows() -> None:
    document = {
        "info": {"title": "<b>", "version": "1"},
        "paths": {"/<i>": {"get": {"operationId": "x", "summary": "<script>", "responses": {}}}},
        "components": {"schemas": {"A": {"description": "<u>", "properties": {"<p>": {"default": "<q>"}}}}},
    }
    page = render_page(document, "/openapi.json")
    assert not re.search(r"<(b|i|u|q|script)>", page)
