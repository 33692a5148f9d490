"""Reading single resources and creating children, as every edge of the operator does it. All I/O, no rules."""

from collections.abc import Callable

from fettle_client.protocol import (
    AlreadyExistsError,
    ApiError,
    ConflictError,
    InvalidError,
    Manifest,
    NotFoundError,
    ResourceClient,
    ResourceKind,
)
from fettle_operator.observation import Refusal
from fettle_schema.errors import FettleError

_FORBIDDEN = 403


class NameTakenError(ConflictError):
    """A resource that is not ours holds the name of one that we would create."""


class RefusedError(FettleError):
    """The API server does not take a child as we build it."""

    code = "Refused"

    def __init__(self, manifest: Manifest, error: ApiError, *, is_final: bool) -> None:
        message = f"the API server refuses {manifest['kind']} {manifest['metadata']['name']!r}: {error}"
        super().__init__(message)
        self.refusal = Refusal(message, is_final)


async def find(client: ResourceClient, kind: ResourceKind, name: str | None, namespace: str) -> Manifest | None:
    """A resource by its name; None if there is none."""
    if not name:
        return None
    try:
        manifest = await client.get(kind, name, namespace)
    except NotFoundError:
        return None
    return typed([manifest], kind)[0]


async def create(
    client: ResourceClient, kind: ResourceKind, manifest: Manifest, is_ours: Callable[[Manifest], bool]
) -> None:
    """Create it, or find that it is ours already. Raises NameTakenError."""
    metadata = manifest["metadata"]
    try:
        await client.create(kind, manifest)
    except AlreadyExistsError as error:
        existing = await find(client, kind, metadata["name"], metadata["namespace"])
        if existing is None or not is_ours(existing):
            raise NameTakenError(409, "Conflict", f"{kind.kind} {metadata['name']!r} is not ours") from error


async def create_child(
    client: ResourceClient, kind: ResourceKind, manifest: Manifest, is_ours: Callable[[Manifest], bool]
) -> None:
    """The same; raises RefusedError where the API server does not take the child."""
    try:
        await create(client, kind, manifest, is_ours)
    except ApiError as error:
        is_invalid = isinstance(error, InvalidError)
        if not (is_invalid or error.status == _FORBIDDEN):
            raise
        raise RefusedError(manifest, error, is_final=is_invalid) from error


def typed(items: list[Manifest], kind: ResourceKind) -> list[Manifest]:
    """Items of a list come without apiVersion and kind."""
    return [{**item, "apiVersion": kind.api_version, "kind": kind.kind} for item in items]
