"""What the API server's refusals mean: from an HTTP answer to an error of the port. No I/O."""

import json
import re
from collections.abc import Mapping
from typing import Any

from fettle_client.protocol import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    GoneError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)

UNREACHABLE = "Unreachable"
"""Code of an UnavailableError: no connection came about, so the server has seen nothing."""
INTERRUPTED = "Interrupted"
"""Code of an UnavailableError: the answer was lost, and the server may have acted."""

_OVERLOADED = (429, 500, 502, 503, 504)
_CLASSES = {400: InvalidError, 404: NotFoundError, 409: ConflictError, 410: GoneError, 422: InvalidError}


def error_from_answer(status: int, body: bytes, headers: Mapping[str, str], path: str) -> ApiError:
    """The error of an answer that is not a success; the body is a Status, or what a proxy has to say."""
    try:
        answer = json.loads(body)
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or answer.get("kind") != "Status":
        answer = {"message": _plain_message(status, body, path)}
    error = error_from_status(status, answer)
    if headers.get("Retry-After", "").isdigit():
        error.details["retryAfterSeconds"] = int(headers["Retry-After"])
    return error


def error_from_status(status: int, answer: Mapping[str, Any]) -> ApiError:
    """The error of a `Status` object, found in an answer or in a watch."""
    code = answer.get("reason") or _REASONS.get(status, "Unknown")
    message = answer.get("message") or f"the API server answered {status}"
    details = dict(answer.get("details") or {})
    if causes := _unknown_fields(message):
        details.setdefault("causes", causes)
    if status == 409 and code == "AlreadyExists":
        return AlreadyExistsError(status, code, message, details)
    error_class = UnavailableError if status in _OVERLOADED else _CLASSES.get(status, ApiError)
    return error_class(status, code, message, details)


def has_seen_nothing(error: UnavailableError) -> bool:
    """Whether the request had no effect for sure, so that even a create may be sent again."""
    return error.status == 429 or error.code == UNREACHABLE


def retry_after_seconds(error: ApiError) -> float:
    """How long the server asked to wait; 0 if it did not say."""
    return float(error.details.get("retryAfterSeconds") or 0)


_REASONS = {
    400: "BadRequest",
    401: "Unauthorized",
    403: "Forbidden",
    404: "NotFound",
    409: "Conflict",
    410: "Expired",
    422: "Invalid",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
    504: "Timeout",
}


def _plain_message(status: int, body: bytes, path: str) -> str:
    text = body.decode(errors="replace").strip()[:500]
    if status == 404 and text == "404 page not found":
        return f"the API server does not serve {path}: is the CustomResourceDefinition of this kind installed?"
    return f"{path}: the API server answered {status}: {text or 'nothing more'}"


def _unknown_fields(message: str) -> list[dict[str, str]]:
    """Strict decoding names unknown fields in its message only; elsewhere a refusal names them as causes."""
    fields = re.findall(r'unknown field "([^"]+)"', message)
    return [{"reason": "UnknownField", "field": field, "message": "unknown field"} for field in fields]
