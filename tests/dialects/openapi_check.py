"""Whether an answer is one that the OpenAPI document promises: its status, its media type, and the form of its body."""

import re
from collections.abc import Mapping
from typing import Any

import httpx

_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def check_documented(document: Mapping[str, Any], answer: httpx.Response) -> None:
    """Only for operations that the document has: a path or method that nobody promised is refused anyhow."""
    operation = _operation(document, answer.request.method.lower(), answer.request.url.raw_path.decode())
    if operation is None:
        assert answer.status_code in (404, 405, 401, 403) or answer.request.method == "HEAD"
        return
    status = str(answer.status_code)
    assert status in operation["responses"], f"status {status} is not documented"
    content = operation["responses"][status].get("content", {})
    media = answer.headers.get("content-type", "")
    if media.startswith("application/json"):
        assert "application/json" in content, f"JSON for status {status} is not documented"
        _check(answer.json(), content["application/json"]["schema"], document, "body")


def _operation(document: Mapping[str, Any], method: str, target: str) -> dict[str, Any] | None:
    prefix = next((server["url"] for server in document.get("servers", [])), "")
    path = target.partition("?")[0].removeprefix(prefix)
    for template, operations in sorted(document["paths"].items(), key=lambda item: item[0].count("{")):
        pattern = re.sub(r"\{[^}]+\}", "[^/]+", template)
        if re.fullmatch(pattern, path) and method in operations:
            operation: dict[str, Any] = operations[method]
            return operation
    return None


def _check(value: Any, schema: Mapping[str, Any], document: Mapping[str, Any], where: str) -> None:
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    if "anyOf" in schema:
        failures = [failure for choice in schema["anyOf"] if (failure := _failure(value, choice, document, where))]
        assert len(failures) < len(schema["anyOf"]), f"{where}: {failures}"
        return
    if "const" in schema or "enum" in schema:
        assert value in schema.get("enum", [schema.get("const")]), f"{where}: {value!r}"
    if "type" in schema:
        assert isinstance(value, _TYPES[schema["type"]]), f"{where}: {value!r} is not of type {schema['type']}"
        assert not isinstance(value, bool) or schema["type"] == "boolean", f"{where}: {value!r}"
    for index, item in enumerate(value if isinstance(value, list) else []):
        _check(item, schema.get("items", {}), document, f"{where}[{index}]")
    if isinstance(value, dict) and "properties" in schema:
        assert set(schema.get("required", [])) <= value.keys(), f"{where}: {sorted(value)} lacks a required field"
        assert value.keys() <= schema["properties"].keys(), f"{where}: {sorted(value)} has an undocumented field"
        for name, item in value.items():
            _check(item, schema["properties"][name], document, f"{where}.{name}")


def _failure(value: Any, schema: Mapping[str, Any], document: Mapping[str, Any], where: str) -> str:
    try:
        _check(value, schema, document, where)
    except AssertionError as error:
        return str(error) or where
    return ""
