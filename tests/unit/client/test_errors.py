import json

import pytest

from fettle_client.errors import error_from_answer
from fettle_client.protocol import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    GoneError,
    InvalidError,
    NotFoundError,
    UnavailableError,
)


@pytest.mark.parametrize(
    ("status", "reason", "expected"),
    [
        (400, "BadRequest", InvalidError),
        (401, "Unauthorized", ApiError),
        (403, "Forbidden", ApiError),
        (404, "NotFound", NotFoundError),
        (409, "AlreadyExists", AlreadyExistsError),
        (409, "Conflict", ConflictError),
        (410, "Expired", GoneError),
        (422, "Invalid", InvalidError),
        (429, "TooManyRequests", UnavailableError),
        (500, "InternalError", UnavailableError),
        (503, "ServiceUnavailable", UnavailableError),
        (504, "Timeout", UnavailableError),
    ],
)
def test_each_refusal_has_its_error(status: int, reason: str, expected: type[ApiError]) -> None:
    details = {"causes": [{"field": "spec.method"}]}
    body = {"kind": "Status", "code": status, "reason": reason, "message": "why", "details": details}
    error = error_from_answer(status, json.dumps(body).encode(), {}, "/api")
    assert type(error) is expected
    assert (error.status, error.code, str(error), error.details) == (status, reason, "why", details)


def test_unknown_fields_become_causes() -> None:
    message = 'strict decoding error: unknown field "spec.a", unknown field "spec.b.c"'
    body = json.dumps({"kind": "Status", "reason": "BadRequest", "message": message}).encode()
    causes = error_from_answer(400, body, {}, "/api").details["causes"]
    assert [cause["field"] for cause in causes] == ["spec.a", "spec.b.c"]


def test_a_kind_that_nobody_serves_is_explained() -> None:
    error = error_from_answer(404, b"404 page not found\n", {}, "/apis/fettle.dev/v1alpha1/adapters")
    assert isinstance(error, NotFoundError)
    assert "is the CustomResourceDefinition of this kind installed?" in str(error)


@pytest.mark.parametrize("body", [b"", b"null", b"[]", b"<html>", b"\xff\xfe"])
def test_an_answer_that_is_no_status_still_has_a_code(body: bytes) -> None:
    error = error_from_answer(502, body, {"Retry-After": "3"}, "/api")
    assert isinstance(error, UnavailableError)
    assert error.details == {"retryAfterSeconds": 3}
