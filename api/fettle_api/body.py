"""JSON bodies: read whatever the Content-Type says, within bounds of size and nesting. Knows no dialect."""

import json
from typing import Any

from starlette.requests import Request

from fettle_api.errors import BodyError, BodyTooLargeError

MAX_DEPTH = 64


async def read_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """The body as a JSON object. Raises BodyError, BodyTooLargeError."""
    value = parse_json(await read_bytes(request, max_bytes))
    if not isinstance(value, dict):
        raise BodyError("expected an object")
    return value


async def read_bytes(request: Request, max_bytes: int) -> bytes:
    """The body, refused as soon as it is known to be too large."""
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and int(announced[:20]) > max_bytes:
        raise BodyTooLargeError(f"the body is larger than {max_bytes} bytes")
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLargeError(f"the body is larger than {max_bytes} bytes")
    return bytes(body)


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
