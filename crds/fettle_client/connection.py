"""Requests to one API server: credentials, timeouts, retries and streams. It knows no kinds and no manifests.

Built on the transport of the official client (`kubernetes.aio`), whose generated models are never loaded.
"""

import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlencode
from urllib.request import getproxies

import aiohttp
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject
from kubernetes.aio.config import ConfigException, load_incluster_config, load_kube_config

from fettle_client.errors import INTERRUPTED, UNREACHABLE, error_from_answer
from fettle_client.protocol import UnavailableError
from fettle_client.retry import RetryPolicy
from fettle_schema.errors import FettleError

DEFAULT_KUBECONFIG = "~/.kube/config"

LoadConfiguration = Callable[[], Awaitable[Configuration]]


class NoClusterError(FettleError):
    """Neither a kubeconfig nor a pod's ServiceAccount says where the API server is."""

    code = "NoCluster"


@dataclass(frozen=True)
class Timeouts:
    """How long one attempt may take."""

    connect_seconds: float = 10.0
    total_seconds: float = 30.0
    watch_seconds: int = 240
    """How long the server keeps a watch open; the client waits `connect_seconds` longer, then calls it lost."""


@dataclass(frozen=True)
class Request:
    """One request; `is_repeatable` says that sending it twice does no harm."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    body: Any = None
    content_type: str = "application/json"
    is_repeatable: bool = True
    timeout: aiohttp.ClientTimeout | None = None
    """Of each attempt; None is what `Timeouts` says."""


class Connection:
    """A pool of connections to one API server."""

    def __init__(
        self,
        configuration: Configuration,
        reload: LoadConfiguration,
        retry: RetryPolicy,
        timeouts: Timeouts,
        user_agent: str,
    ) -> None:
        self.retry = retry
        self.timeouts = timeouts
        self._configuration = configuration
        self._reload = reload
        self._user_agent = user_agent
        self._rest = RESTClientObject(configuration)

    async def send(self, request: Request) -> dict[str, Any]:
        """The answer's JSON object, after retries; raises an ApiError."""

        async def attempt() -> dict[str, Any]:
            async with self.open(request) as response:
                return _parsed(await response.read(), request)

        return await self.retry.run(attempt, request.is_repeatable)

    @asynccontextmanager
    async def open(self, request: Request) -> AsyncIterator[aiohttp.ClientResponse]:
        """One attempt at a successful answer, to be read inside; a lost connection there is an UnavailableError too."""
        try:
            async with await self._authorized(request) as response:
                if response.status >= 400:
                    body = await response.read()
                    raise error_from_answer(response.status, body, response.headers, request.path)
                yield response
        except aiohttp.ClientConnectorError as error:
            raise UnavailableError(503, UNREACHABLE, f"the API server cannot be reached: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            message = f"{request.method} {request.path}: no answer: {str(error) or type(error).__name__}"
            raise UnavailableError(504, INTERRUPTED, message) from error

    async def close(self) -> None:
        await self._rest.close()

    async def _authorized(self, request: Request) -> aiohttp.ClientResponse:
        """The answer; one more try with fresh credentials where the server does not accept ours."""
        response = await self._ask(request)
        if response.status != 401:
            return response
        response.release()
        fresh = await self._reload()
        self._configuration.api_key = fresh.api_key
        self._configuration.refresh_api_key_hook = fresh.refresh_api_key_hook
        return await self._ask(request)

    async def _ask(self, request: Request) -> aiohttp.ClientResponse:
        headers = {"User-Agent": self._user_agent, "Accept": "application/json", "Content-Type": request.content_type}
        # Also re-reads the token file of a pod when it is older than a minute.
        token = await self._configuration.get_api_key_with_prefix("BearerToken")
        if token:
            headers["Authorization"] = token
        url = self._configuration.host + request.path
        if request.query:
            url += "?" + urlencode(request.query)
        timeout = request.timeout or aiohttp.ClientTimeout(
            self.timeouts.total_seconds, sock_connect=self.timeouts.connect_seconds
        )
        answer = await self._rest.request(
            request.method, url, headers=headers, body=request.body, _request_timeout=timeout
        )
        response: aiohttp.ClientResponse = answer.response
        return response


def _parsed(body: bytes, request: Request) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = json.loads(body)
    except ValueError as error:
        message = f"{request.method} {request.path}: the answer is no JSON: {body[:200]!r}"
        raise UnavailableError(502, INTERRUPTED, message) from error
    return answer


async def load_configuration(kubeconfig: str | None, context: str | None) -> Configuration:
    """Where the API server is and who we are: the kubeconfig, else `KUBECONFIG`, else the pod's ServiceAccount, else
    `~/.kube/config`. Raises NoClusterError."""
    kubeconfig = kubeconfig or os.environ.get("KUBECONFIG")
    configuration = Configuration()
    # Else the transport looks for proxies at each request, in two threads.
    configuration.client_session_kwargs = {"trust_env": bool(getproxies().keys() - {"no"})}
    try:
        if not kubeconfig and not context and os.environ.get("KUBERNETES_SERVICE_HOST"):
            load_incluster_config(configuration)
        else:
            await load_kube_config(kubeconfig or DEFAULT_KUBECONFIG, context, configuration, persist_config=False)
    except ConfigException as error:
        where = kubeconfig or DEFAULT_KUBECONFIG
        raise NoClusterError(
            f"no cluster: {error} ({where}); name a kubeconfig, set KUBECONFIG, or run in a pod with a ServiceAccount"
        ) from error
    return configuration
