"""JSON bodies: read whatever the Content-Type says, within bounds of size and nesting. Knows no dialect."""

import json
from collections.abc import AsyncIterator
from typing import Any

from starlette.requests import ClientDisconnect, Request

from fettle_api.errors import BodyError, BodyTooLargeError

MAX_DEPTH = 64


async def read_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """The body as a JSON object. Raises BodyError, BodyTooLargeError."""
    value = parse_json(await read_bytes(request, max_bytes))
    if not isinstance(value, dict):
        raise BodyError("expected an object")
    return value


async def read_optional_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """The same where a body may be left out: nothing is an empty object. Raises BodyError, BodyTooLargeError."""
    body = await read_bytes(request, max_bytes)
    value = parse_json(body) if body.strip() else {}
    if not isinstance(value, dict):
        raise BodyError("expected an object")
    return value


async def read_bytes(request: Request, max_bytes: int) -> bytes:
    """The body, refused as soon as it is known to be too large."""
    body = bytearray()
    async for chunk in read_stream(request, max_bytes):
        body += chunk
    return bytes(body)


async def read_stream(request: Request, max_bytes: int) -> AsyncIterator[bytes]:
    """The body, piece by piece. Raises BodyTooLargeError, and BodyError when the caller goes away."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > max_bytes:
        raise BodyTooLargeError(f"the body is larger than {max_bytes} bytes")
    size_bytes = 0
    try:
        async for chunk in request.stream():
            size_bytes += len(chunk)
            if size_bytes > max_bytes:
                raise BodyTooLargeError(f"the body is larger than {max_bytes} bytes")
            yield chunk
    except ClientDisconnect as error:
        raise BodyError("the body ended early") from error


def parse_json(body: bytes) -> Any:
    """The JSON value: UTF-8, no NaN or Infinity, no lone surrogates, nested at most MAX_DEPTH. Raises BodyError."""
    try:
        value = json.loads(body.decode("utf-8-sig"), parse_constant=_refuse_constant, parse_float=_finite)
    except RecursionError as error:
        raise BodyError(f"nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise BodyError("not JSON") from error
    _check(value)
    return value


def _check(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        for text in level:
            if isinstance(text, str):
                _encodable(text)
        containers = [item for item in level if isinstance(item, dict | list)]
        if not containers:
            return
        level = [
            child
            for item in containers
            for child in ([*item.keys(), *item.values()] if isinstance(item, dict) else item)
        ]
    raise BodyError(f"nested deeper than {MAX_DEPTH} levels")


def _encodable(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BodyError("a text holds half a surrogate pair") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{text[:20]} is too large a number")
    return value
