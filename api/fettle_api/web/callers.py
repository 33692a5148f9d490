"""What a request tells besides its body: who sends it, and whether it came before."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request

from fettle_api.resources.models import Principal
from fettle_api.web.idempotency import Identity, identify


def principal_of(request: Request) -> Principal:
    """Whoever the guard let in."""
    principal = request.state.principal
    assert isinstance(principal, Principal)
    return principal


def identity_of(request: Request, dialect: str, body: Mapping[str, Any]) -> Identity:
    """What a new job's id is made of: random, or for an Idempotency-Key always the same. Raises IdempotencyKeyError.

    The same on the dialect's own port and below its prefix.
    """
    path = str(request.scope["path"]).removeprefix(str(request.scope.get("root_path", "")))
    return identify(request.headers, principal_of(request).name, f"{dialect} {path}", body)
