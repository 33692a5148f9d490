"""OpenAPI documents: what routes say about themselves, and the document and page of one dialect."""

from collections.abc import Iterable, Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from fettle_api.web.documentation_page import render_page
from fettle_api.web.idempotency import HEADER

_COMPONENTS = "#/components/schemas/"
_EVERYWHERE = {
    401: "Credentials are missing or wrong.",
    403: "The caller, or the web page that calls, may not.",
    503: "The API server cannot be reached, or nothing has been read from it yet; try again.",
}
_WORDS = {
    400: "The request is not valid.",
    404: "There is no such thing.",
    409: "What is there does not allow it.",
    413: "The body is too large.",
    416: "No byte of the asked range exists.",
    422: "The Idempotency-Key was used for another request, or a value cannot be processed.",
    429: "Too many requests; try again.",
    502: "Another server failed.",
    504: "Another server did not answer in time.",
    507: "The workspace has no room left.",
}


def documented(
    answers: Mapping[int, type[BaseModel] | str],
    errors: Iterable[int] = (),
    *,
    body: type[BaseModel] | None = None,
    form: Mapping[str, Any] | None = None,
    is_body_required: bool = True,
    query: Mapping[str, Mapping[str, Any]] | None = None,
    takes_key: bool = False,
) -> dict[str, Any]:
    """Keyword arguments for a route that parses its body itself: `@router.post("/jobs", **documented({201: Job}))`.

    `answers` maps a status to a model, or to a sentence where the answer is no JSON. `form` are the properties of a
    multipart form. `takes_key` is for submits that know Idempotency-Key.
    """
    codes = {*errors, *({413} if body or form else ()), *({400, 422} if takes_key else ())}
    responses: dict[int | str, dict[str, Any]] = {status: _described(answer) for status, answer in answers.items()}
    responses |= {code: {"description": _WORDS[code]} for code in sorted(codes)}
    extra: dict[str, Any] = {}
    if body is not None:
        extra["requestBody"] = {
            "required": is_body_required,
            "content": _promised(body),
        }
    if form is not None:
        schema = {"type": "object", "properties": dict(form), "required": ["file"]}
        extra["requestBody"] = {"required": True, "content": {"multipart/form-data": {"schema": schema}}}
    parameters = [
        {"name": name, "in": "query", "required": False, "schema": dict(schema)}
        for name, schema in (query or {}).items()
    ]
    if takes_key:
        key = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        parameters.append({"name": HEADER, "in": "header", "required": False, "schema": key})
    if parameters:
        extra["parameters"] = parameters
    status = next(iter(answers))
    return {"status_code": status, "responses": responses, "response_model": None, "openapi_extra": extra or None}


_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_PROMISE = "#/promised/"
_PROMISED: dict[str, type[BaseModel]] = {}
"""Models that routes have named. Schemas are made for a document that somebody asks for, not at every start."""


def _promised(model: type[BaseModel]) -> dict[str, Any]:
    key = f"{model.__module__}:{model.__qualname__}"
    _PROMISED[key] = model
    return {"application/json": {"schema": {"$ref": f"{_PROMISE}{key}"}}}


def _described(answer: type[BaseModel] | str) -> dict[str, Any]:
    if isinstance(answer, str):
        return {"description": answer, "content": _BYTES}
    return {"description": (answer.__doc__ or answer.__name__).partition("\n")[0], "content": _promised(answer)}


def inlined_schema(model: type[BaseModel]) -> dict[str, Any]:
    """The JSON schema of a request without references; models that hold themselves are not for requests."""
    schema = model.model_json_schema()
    definitions = schema.pop("$defs", {})

    def inline(value: Any) -> Any:
        if isinstance(value, list):
            return [inline(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return inline(definitions[value["$ref"].rpartition("/")[2]])
        return {key: inline(item) for key, item in value.items()}

    inlined: dict[str, Any] = inline(schema)
    return inlined


def add_documentation(
    app: FastAPI, title: str, version: str, error_model: type[BaseModel], openapi_path: str, page_paths: Iterable[str]
) -> None:
    """Serve the document and its page; both are made when they are first asked for."""
    document: dict[str, Any] = {}

    def openapi() -> dict[str, Any]:
        if not document:
            document.update(_build(app, title, version, error_model))
        return document

    async def serve_document(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        return JSONResponse({**openapi(), **({"servers": [{"url": root}]} if root else {})})

    async def serve_page(request: Request) -> Response:
        root = request.scope.get("root_path", "")
        page = render_page(openapi(), f"{root}{openapi_path}")
        policy = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; frame-ancestors 'none'"
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    app.openapi = openapi  # type: ignore[method-assign]  # how FastAPI wants it replaced
    app.add_route(openapi_path, serve_document, methods=["GET"], include_in_schema=False)
    for path in page_paths:
        app.add_route(path, serve_page, methods=["GET"], include_in_schema=False)


def _build(app: FastAPI, title: str, version: str, error_model: type[BaseModel]) -> dict[str, Any]:
    document = get_openapi(title=title, version=version, routes=app.routes)
    schemas: dict[str, Any] = document.setdefault("components", {}).setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):  # the framework's own, which never answers here
        schemas.pop(name, None)
    models = {error_model}
    error = {"application/json": {"schema": {"$ref": f"{_COMPONENTS}{error_model.__name__}"}}}
    for operations in document["paths"].values():
        for operation in operations.values():
            _complete(operation["responses"], error)
            models |= _keep_promises(operation)
    wanted = sorted(models, key=lambda model: model.__name__)
    _, made = models_json_schema([(model, "serialization") for model in wanted], ref_template=f"{_COMPONENTS}{{model}}")
    schemas |= made["$defs"]
    return document


def _keep_promises(operation: dict[str, Any]) -> set[type[BaseModel]]:
    """Put schemas where routes have named models; the models of its answers, which become components."""
    for content in operation.get("requestBody", {}).get("content", {}).values():
        if (model := _promise_of(content)) is not None:
            content["schema"] = inlined_schema(model)
    models = set()
    for response in operation["responses"].values():
        for content in response.get("content", {}).values():
            if (model := _promise_of(content)) is not None:
                content["schema"] = {"$ref": f"{_COMPONENTS}{model.__name__}"}
                models.add(model)
    return models


def _promise_of(content: Mapping[str, Any]) -> type[BaseModel] | None:
    reference = str(content.get("schema", {}).get("$ref", ""))
    return _PROMISED[reference.removeprefix(_PROMISE)] if reference.startswith(_PROMISE) else None


def _complete(responses: dict[str, Any], error: Mapping[str, Any]) -> None:
    """Every operation may also be refused at the door; every error has the dialect's shape."""
    if "HTTPValidationError" in str(responses.get("422")):
        del responses["422"]
    for code, words in _EVERYWHERE.items():
        responses.setdefault(str(code), {"description": words})
    for status, response in responses.items():
        content = response.get("content", {})
        if len(content) > 1 and content.get("application/json") == {"schema": {}}:
            del content["application/json"]  # the framework's guess beside what the route says
        if status >= "400" and not content:
            response["content"] = {media: dict(value) for media, value in error.items()}
