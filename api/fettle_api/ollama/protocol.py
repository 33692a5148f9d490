"""Ollama over its own protocol: blobs by digest, `create` with files or an adapter, and errors inside a 200. An edge.

Only this machine is called, or a host that the installation allows: which one a URL means is decided without any
look-up, and what is called is put together from its parts, so that nobody else's reading of the URL counts.
"""

import ipaddress
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from fettle_api.errors import OllamaRefusedError, RemoteError, UrlError
from fettle_api.outbound import Outbound

_SHORT_SECONDS = 10.0
_LONG_SECONDS = 3600.0
_MAX_ANSWER_BYTES = 4 * 1024 * 1024
_MAX_LINE_BYTES = 256 * 1024
_MAX_WORDS = 400
_PORTS = {"http": 80, "https": 443}


class Ollama:
    """One server."""

    def __init__(self, outbound: Outbound, base_url: str) -> None:
        self._outbound, self._base_url = outbound, base_url

    async def architecture(self, model: str) -> str | None:
        """What a model there is, for example `llama`; None if the server does not say, or has no such model."""
        body = json.dumps({"model": model}).encode()
        async with self._request("POST", "/api/show", body, _SHORT_SECONDS) as answer:
            shown = _object(await _read(answer)) if answer.status == 200 else {}
        info, details = shown.get("model_info"), shown.get("details")
        named = info.get("general.architecture") if isinstance(info, dict) else None
        named = named or (details.get("family") if isinstance(details, dict) else None)
        return named if isinstance(named, str) and named else None

    async def has_blob(self, digest: str) -> bool:
        """Whether a file with this digest, `sha256:…`, is there."""
        async with self._request("HEAD", f"/api/blobs/{digest}", None, _SHORT_SECONDS) as answer:
            return answer.status == 200

    async def send_blob(self, digest: str, size_bytes: int, content: AsyncIterator[bytes]) -> None:
        """Send a file; the server checks its digest. Raises OllamaRefusedError, RemoteError."""
        headers = {"Content-Length": str(size_bytes), "Content-Type": "application/octet-stream"}
        async with self._outbound.request(
            "POST",
            f"{self._base_url}/api/blobs/{digest}",
            content=content,
            headers=headers,
            timeout_seconds=_LONG_SECONDS,
        ) as answer:
            if answer.status not in (200, 201):
                raise _refusal(answer.status, await _read(answer))

    async def create(self, request: Mapping[str, Any]) -> None:
        """Make a model of files that are there. Raises OllamaRefusedError with the server's words, RemoteError."""
        body = json.dumps(request).encode()
        async with self._request("POST", "/api/create", body, _LONG_SECONDS) as answer:
            if answer.status != 200:
                raise _refusal(answer.status, await _read(answer))
            last = ""
            async for line in _lines(answer):
                report = _object(line)
                if "error" in report:
                    raise _refusal(answer.status, line)
                last = str(report.get("status", last))
        if last != "success":
            raise RemoteError("Ollama ended its answer before it was done")

    def _request(
        self, method: str, path: str, content: bytes | None, timeout_seconds: float
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        headers = {"Content-Type": "application/json"} if content is not None else {}
        return self._outbound.request(
            method, f"{self._base_url}{path}", content=content, headers=headers, timeout_seconds=timeout_seconds
        )


def connect(url: str, outbound: Outbound) -> Ollama:
    """The server that a URL means. Raises UrlError, before anything is looked up, for one that may not be called."""
    if len(url) > 2048 or any(ord(character) <= 32 or ord(character) == 127 for character in url):
        raise UrlError("ollamaUrl has at most 2048 characters, and no spaces")
    try:
        target = urlsplit(url)
        host, port = (target.hostname or "").rstrip("."), target.port
    except ValueError as error:
        raise UrlError("ollamaUrl is no URL") from error
    if target.scheme not in _PORTS or not host or port == 0:
        raise UrlError("ollamaUrl must begin with http:// or https:// and name a host")
    if target.username is not None or target.password is not None:
        raise UrlError("ollamaUrl must not hold a user name or a password")
    path = target.path.rstrip("/")
    if target.query or target.fragment or not re.fullmatch(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", path):
        raise UrlError("ollamaUrl must end with the host, the port, or a plain path")
    name, allowed = _callable(host, outbound)
    return Ollama(allowed, f"{target.scheme}://{name}:{port or _PORTS[target.scheme]}{path}")


def loopback_address(host: str) -> str | None:
    """The loopback address that a host name or literal means without a look-up; None for any other host."""
    if host.lower() == "localhost":
        return "localhost"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        if address.ipv4_mapped is not None:
            address = address.ipv4_mapped
    return str(address) if address.is_loopback else None


def _callable(host: str, outbound: Outbound) -> tuple[str, Outbound]:
    """The host as it stands in a URL, and what calls it."""
    loopback = loopback_address(host)
    if loopback is not None:
        addresses = ["127.0.0.1", "::1"] if loopback == "localhost" else [loopback]

        async def resolve(_host: str, _port: int) -> list[str]:
            return addresses

        return f"[{loopback}]" if ":" in loopback else loopback, Outbound(frozenset({loopback}), resolve)
    if host.lower() in outbound.allowed_hosts and re.fullmatch(r"[A-Za-z0-9._-]+", host):
        return host.lower(), outbound
    raise UrlError(
        "ollamaUrl must be a loopback host (localhost, 127.0.0.1, or ::1); "
        "other hosts can be allowed by FETTLE_API_ALLOWED_OUTBOUND_HOSTS"
    )


async def _lines(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    """Lines as they come, each of a bounded length."""
    rest = b""
    async for chunk in answer.content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line
        if len(rest) > _MAX_LINE_BYTES:
            raise RemoteError("Ollama answers what is no report of progress")
    yield rest


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    content = bytearray()
    async for chunk in answer.content.iter_chunked(64 * 1024):
        content += chunk
        if len(content) > _MAX_ANSWER_BYTES:
            raise RemoteError("Ollama's answer is too long")
    return bytes(content)


def _object(line: bytes) -> dict[str, Any]:
    try:
        value = json.loads(line) if line.strip() else {}
    except (ValueError, RecursionError) as error:
        raise RemoteError("Ollama answers what is not JSON: is it Ollama that listens there?") from error
    return value if isinstance(value, dict) else {}


def _refusal(status: int, answer: bytes) -> OllamaRefusedError | RemoteError:
    """The server's own words, if it has any in the form that Ollama has."""
    try:
        words = _object(answer).get("error")
    except RemoteError:
        words = None
    if not isinstance(words, str):
        return RemoteError(f"the server answers {status}: is it Ollama that listens there?")
    return OllamaRefusedError(f"Ollama refuses: {words[:_MAX_WORDS]}")
