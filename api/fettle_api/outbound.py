"""Calls to URLs that callers gave. A name is resolved once and its addresses are checked; the call goes to those.

So a name that changes its answer leads nowhere else, and a redirect is never followed. Private, loopback, link-local
(where clouds keep their metadata) and reserved addresses are refused unless the installation allows the host.
"""

import asyncio
import ipaddress
import socket
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from fettle_api.errors import RemoteError, UrlError

_MAX_URL = 2048
_RESOLVE_SECONDS = 10.0
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_DEFAULT_PORTS = {"http": 80, "https": 443}

Resolve = Callable[[str, int], Awaitable[list[str]]]
"""Host and port → addresses. Raises OSError."""


@dataclass(frozen=True)
class Outbound:
    """The only way from the facade to a caller's URL."""

    allowed_hosts: frozenset[str] = frozenset()
    """Host names that may be private."""
    resolve: Resolve | None = None
    """The system's resolver if None."""

    async def check(self, url: str) -> None:
        """Raises UrlError for one that may not be called, RemoteError for a host that cannot be found."""
        await self._addresses(_parsed(url))

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        content: bytes | AsyncIterable[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_seconds: float = 30.0,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, whatever its status but a redirect; the body is read by the caller, within the time.

        Raises UrlError before anything is sent, RemoteError for what goes wrong then.
        """
        target = _parsed(url)
        connector = aiohttp.TCPConnector(resolver=_Pinned(await self._addresses(target)), use_dns_cache=False)
        timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        session = aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            trust_env=False,
            auto_decompress=False,
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        sent = {"Accept-Encoding": "identity", "User-Agent": "fettle", **(headers or {})}
        try:
            async with (
                session,
                session.request(method, url, data=content, headers=sent, allow_redirects=False) as answer,
            ):
                if 300 <= answer.status < 400:
                    raise UrlError(f"{target.hostname!r} answers with a redirect, which is not followed")
                yield answer
        except (aiohttp.ClientError, TimeoutError) as error:
            raise RemoteError(f"{target.hostname!r} cannot be reached: {type(error).__name__}") from error

    async def _addresses(self, target: SplitResult) -> list[str]:
        host = (target.hostname or "").rstrip(".").lower()
        port = target.port or _DEFAULT_PORTS[target.scheme]
        try:
            async with asyncio.timeout(_RESOLVE_SECONDS):
                addresses = await (self.resolve or _system_addresses)(host, port)
        except (OSError, UnicodeError) as error:
            raise RemoteError(f"host {host!r} cannot be found") from error
        if host not in self.allowed_hosts and not all(map(is_public, addresses)):
            raise UrlError(f"host {host!r} is a private address; add it to FETTLE_API_ALLOWED_OUTBOUND_HOSTS")
        return addresses


def is_public(address: str) -> bool:
    """Whether an address is on the internet, also when it is an IPv4 address in IPv6's clothes."""
    try:
        found: Any = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour
        if found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if found.teredo is not None:
            return False
        found = inner or found
    return bool(found.is_global and not found.is_multicast and not found.is_reserved)


def _parsed(url: str) -> SplitResult:
    if len(url) > _MAX_URL or any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise UrlError(f"a URL has at most {_MAX_URL} characters, and no spaces")
    try:
        target = urlsplit(url)
        is_complete = target.scheme in _DEFAULT_PORTS and bool(target.hostname) and target.port != 0
    except ValueError as error:
        raise UrlError("this is no URL") from error
    if not is_complete:
        raise UrlError("a URL must begin with http:// or https:// and name a host")
    if target.username is not None or target.password is not None:
        raise UrlError("a URL must not hold a user name or a password")
    return target


async def _system_addresses(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class _Pinned(AbstractResolver):
    """Gives the addresses that were checked, whatever the name would be now."""

    def __init__(self, addresses: list[str]) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in self._addresses
        ]

    async def close(self) -> None:
        """Nothing is open."""
