"""The edge that asks the API server who a token's owner is, and what they may do. Answers are kept for a short time.

Tokens are held as digests only.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from fettle_api.errors import ForbiddenError, UnauthenticatedError
from fettle_api.identity.access import GROUP, Access
from fettle_api.identity.token_reviews import TOKEN_REVIEWS
from fettle_client.protocol import ApiError, Manifest, ResourceClient, ResourceKind, UnavailableError

ACCESS_REVIEWS = ResourceKind(
    "authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False
)
KNOWN_SECONDS = 30.0
ALLOWED_SECONDS = 10.0
REFUSED_SECONDS = 5.0
_MAX_KEPT = 10_000

Key = TypeVar("Key")
Answer = TypeVar("Answer")
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class User:
    """Who a token belongs to, as the API server says."""

    name: str
    groups: tuple[str, ...]
    uid: str | None
    extra: dict[str, list[str]] = field(hash=False, compare=False)
    key: bytes = field(repr=False)
    """Digest of the token."""


class AccessReviews:
    """Reviews of tokens and of rights in one namespace."""

    def __init__(self, client: ResourceClient, namespace: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client, self._namespace = client, namespace
        self._users: _Memory[bytes, User | None] = _Memory(monotonic, KNOWN_SECONDS)
        self._rights: _Memory[tuple[bytes, Access], str | None] = _Memory(monotonic, ALLOWED_SECONDS)

    async def identify(self, token: str) -> User:
        """Raises UnauthenticatedError, UnavailableError."""
        key = hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
        user = await self._users.answer(key, lambda: self._ask_who(token, key), lambda known: known is not None)
        if user is None:
            raise UnauthenticatedError("the token is not valid")
        return user

    async def require(self, user: User, access: Access) -> None:
        """Raises ForbiddenError, in Kubernetes' words, and UnavailableError."""
        key = (user.key, access)
        refusal = await self._rights.answer(key, lambda: self._ask_whether(user, access), lambda words: words is None)
        if refusal is not None:
            raise ForbiddenError(refusal)

    async def _ask_who(self, token: str, key: bytes) -> User | None:
        status = await self._review(TOKEN_REVIEWS, {"token": token})
        user = status.get("user") or {}
        if not status.get("authenticated") or not user.get("username"):
            return None
        extra = user.get("extra") or {}
        return User(str(user["username"]), tuple(user.get("groups") or ()), user.get("uid"), extra, key)

    async def _ask_whether(self, user: User, access: Access) -> str | None:
        """Why not; None if they may."""
        attributes = {
            "namespace": self._namespace,
            "verb": access.verb,
            "group": GROUP,
            "resource": access.resource,
            **({"subresource": access.subresource} if access.subresource else {}),
        }
        subject = {"user": user.name, "groups": list(user.groups), "extra": user.extra}
        spec = {"resourceAttributes": attributes, **subject, **({"uid": user.uid} if user.uid else {})}
        status = await self._review(ACCESS_REVIEWS, spec)
        if status.get("allowed") is True and not status.get("denied"):
            return None
        resource = f"{access.resource}/{access.subresource}" if access.subresource else access.resource
        words = f'user "{user.name}" cannot {access.verb} resource "{resource}" in API group "{GROUP}"'
        return f'{words} in the namespace "{self._namespace}"'

    async def _review(self, kind: ResourceKind, spec: dict[str, Any]) -> Manifest:
        review = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {}, "spec": spec}
        try:
            status: Manifest = (await self._client.create(kind, review)).get("status") or {}
        except UnavailableError:
            raise
        except ApiError as error:
            _logger.error("the facade may not ask who calls", extra={"kind": kind.kind, "code": error.code})
            # The server's words could quote what it refused.
            raise UnavailableError(503, error.code, f"{kind.kind} was refused") from None
        return status


class _Memory(Generic[Key, Answer]):
    """Answers, each until its time is over; the oldest make room. Of several who ask at once, one does."""

    def __init__(self, monotonic: Callable[[], float], good_seconds: float) -> None:
        self._monotonic, self._good_seconds = monotonic, good_seconds
        self._answers: dict[Key, tuple[float, Answer]] = {}
        self._pending: dict[Key, asyncio.Task[Answer]] = {}

    async def answer(
        self, key: Key, ask: Callable[[], Coroutine[Any, Any, Answer]], is_good: Callable[[Answer], bool]
    ) -> Answer:
        """What is kept, else what `ask` says; errors are not kept."""
        kept = self._answers.get(key)
        if kept is not None and kept[0] > self._monotonic():
            return kept[1]
        if key not in self._pending:
            self._pending[key] = asyncio.create_task(self._ask(key, ask, is_good))
            self._pending[key].add_done_callback(lambda task: self._forget(key, task))
        return await asyncio.shield(self._pending[key])

    async def _ask(
        self, key: Key, ask: Callable[[], Coroutine[Any, Any, Answer]], is_good: Callable[[Answer], bool]
    ) -> Answer:
        answer = await ask()
        self._answers.pop(key, None)
        while len(self._answers) >= _MAX_KEPT:
            del self._answers[next(iter(self._answers))]
        seconds = self._good_seconds if is_good(answer) else REFUSED_SECONDS
        self._answers[key] = self._monotonic() + seconds, answer
        return answer

    def _forget(self, key: Key, task: asyncio.Task[Answer]) -> None:
        self._pending.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever asked may have gone away
