"""Who calls, what they may do, and whether the browser they use may speak for them. Keeps no session."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable
from typing import Protocol, TypeAlias

from starlette.datastructures import Headers

from fettle_api.errors import ForbiddenError, UnauthenticatedError
from fettle_api.identity.access import Access
from fettle_api.identity.access_reviews import AccessReviews
from fettle_api.resources.models import Principal
from fettle_api.settings import ApiSettings, is_loopback
from fettle_client.protocol import ResourceClient

Wanted: TypeAlias = Callable[[], Access | None]
"""Tells which right a request needs; for those who decide on rights."""


class Authenticator(Protocol):
    """Decides on one request."""

    async def authenticate(self, headers: Headers, wanted: Wanted) -> Principal:
        """Raises UnauthenticatedError, ForbiddenError, UnavailableError."""
        ...


def build_authenticator(settings: ApiSettings, client: ResourceClient) -> Authenticator:
    """The authenticator that the settings ask for; reads the key's file."""
    if settings.authentication == "none":
        return LoopbackAuthenticator(settings.allowed_hosts, settings.allowed_origins)
    if settings.authentication == "token":
        return TokenAuthenticator(AccessReviews(client, settings.namespace), settings.allowed_origins)
    if settings.api_key_file is None:
        raise ValueError("authentication 'apikey' needs api_key_file (FETTLE_API_API_KEY_FILE)")
    return ApiKeyAuthenticator(settings.api_key_file.read_text().strip(), settings.allowed_origins)


class LoopbackAuthenticator:
    """No credentials: only for this machine. A foreign Host is DNS rebinding, a foreign Origin somebody's web page."""

    def __init__(self, allowed_hosts: frozenset[str], allowed_origins: frozenset[str]) -> None:
        self._allowed_hosts = allowed_hosts
        self._allowed_origins = allowed_origins

    async def authenticate(self, headers: Headers, wanted: Wanted) -> Principal:
        name = _host_name(headers.get("host", ""))
        if not is_loopback(name) and name not in self._allowed_hosts:
            raise ForbiddenError(f"host {name!r} is not this machine; add it to FETTLE_API_ALLOWED_HOSTS or use a key")
        check_origin(headers, self._allowed_origins)
        return Principal("local")


class ApiKeyAuthenticator:
    """One key for the installation."""

    def __init__(self, key: str, allowed_origins: frozenset[str]) -> None:
        if len(key) < 16:
            raise ValueError("the API key must have at least 16 characters")
        self._digest = _digest(key)
        self._allowed_origins = allowed_origins

    async def authenticate(self, headers: Headers, wanted: Wanted) -> Principal:
        given = _credential(headers, self._allowed_origins)
        if given is None:
            raise UnauthenticatedError("an API key is needed: Authorization: Bearer <key>, or X-API-Key: <key>")
        if not hmac.compare_digest(_digest(given), self._digest):
            raise UnauthenticatedError("the API key is not valid")
        return Principal("api-key")


class TokenAuthenticator:
    """Tokens of the cluster: the API server says whose they are, and its Roles what their owners may do."""

    def __init__(self, reviews: AccessReviews, allowed_origins: frozenset[str]) -> None:
        self._reviews, self._allowed_origins = reviews, allowed_origins

    async def authenticate(self, headers: Headers, wanted: Wanted) -> Principal:
        token = _credential(headers, self._allowed_origins)
        if not token:
            raise UnauthenticatedError("a token of the cluster is needed: Authorization: Bearer <token>")
        user = await self._reviews.identify(token)
        access = wanted()
        if access is not None:
            await self._reviews.require(user, access)
        return Principal(user.name)


def check_origin(headers: Headers, allowed_origins: frozenset[str]) -> None:
    """Refuse pages that are neither ours nor allowed. Raises ForbiddenError."""
    origin = headers.get("origin")
    if origin is None or origin in allowed_origins:
        return
    if origin.partition("://")[2].lower() != headers.get("host", "").lower():
        raise ForbiddenError(f"pages of {origin!r} may not call; add the origin to FETTLE_API_ALLOWED_ORIGINS")


def _credential(headers: Headers, allowed_origins: frozenset[str]) -> str | None:
    """What comes as X-API-Key, Bearer or Basic password; None if nothing does. Raises ForbiddenError."""
    if "x-api-key" in headers:
        return headers["x-api-key"]
    scheme, _, value = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return value.strip()
    if scheme.lower() == "basic":
        check_origin(headers, allowed_origins)  # browsers send Basic credentials by themselves
        return _basic_password(value.strip())
    return None


def _host_name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0].removeprefix("[").lower()
    return host.partition(":")[0].lower()


def _basic_password(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError) as error:
        raise UnauthenticatedError("the Authorization header is not valid Basic authentication") from error


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
