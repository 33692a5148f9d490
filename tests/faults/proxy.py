"""A proxy before a real API server: passes requests on, and does to them what a plan says. It decides nothing."""

import asyncio
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import yaml
from aiohttp import web
from yarl import URL

from fettle_client.connection import load_configuration
from tests.faults.plan import Fault, WatchFault
from tests.faults.requests import Asked, asked
from tests.faults.watch_relay import TOO_OLD, CutError, faulty_lines

_PASSED_ON = ("Authorization", "Content-Type", "Accept", "User-Agent")
_REFUSALS = {
    Fault.CONFLICT: (409, "Conflict"),
    Fault.OVERLOADED: (429, "TooManyRequests"),
    Fault.BROKEN: (500, "InternalError"),
    Fault.BROKEN_ANSWER: (500, "InternalError"),
}
_LONGEST_LINE_BYTES = 2**20
_SLOW_SECONDS = 1.0


@dataclass(frozen=True)
class Write:
    """One write about a job that reaches the API server: the n-th."""

    asked: Asked
    number: int


class Faults:
    """What a plan may say; this one says nothing, so that the proxy only counts."""

    async def of_request(self, request: Asked, ordinal: int) -> Fault | None:
        """What happens to a request."""
        return None

    async def of_watch(self, request: Asked, ordinal: int) -> WatchFault:
        """What happens to a watch."""
        return WatchFault()

    async def before(self, write: Write) -> None:
        """Called before a write goes to the API server. Raises CutError if it shall not."""

    async def after(self, write: Write) -> None:
        """Called when the API server has answered. Raises CutError if nobody shall know."""


class Upstream:
    """The API server that a kubeconfig names, for all proxies of a test."""

    def __init__(self, url: str, session: aiohttp.ClientSession, kubeconfig: Path) -> None:
        self.url, self.session, self._kubeconfig = url, session, kubeconfig

    def kubeconfig_for(self, url: str, path: Path) -> Path:
        """The same credentials for another address."""
        content = yaml.safe_load(self._kubeconfig.read_text())
        for cluster in content["clusters"]:
            cluster["cluster"] = {"server": url}
        path.write_text(yaml.safe_dump(content))
        path.chmod(0o600)
        return path


@asynccontextmanager
async def upstream(kubeconfig: Path) -> AsyncIterator[Upstream]:
    """Connections to the API server of a kubeconfig."""
    configuration = await load_configuration(str(kubeconfig), None)
    trust = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    connector = aiohttp.TCPConnector(ssl=trust, limit=0)
    timeout = aiohttp.ClientTimeout(total=None, sock_connect=10)
    async with aiohttp.ClientSession(
        connector=connector, timeout=timeout, read_bufsize=_LONGEST_LINE_BYTES, auto_decompress=False
    ) as session:
        yield Upstream(configuration.host, session, kubeconfig)


class FaultyProxy:
    """One address through which one operator talks to the API server. `writes` counts what reaches it, by job."""

    def __init__(self, upstream: Upstream, faults: Faults) -> None:
        self.url = ""
        self.writes: Counter[str] = Counter()
        self.asked: Counter[tuple[str, str]] = Counter()
        """Requests, by method and path."""
        self.faults_seen: Counter[str] = Counter()
        self._upstream, self._faults = upstream, faults
        self._answers: set[asyncio.Task[object]] = set()
        """What serves one connection each."""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[None]:
        """Listen on the loopback interface."""
        app = web.Application(client_max_size=_LONGEST_LINE_BYTES * 4)
        app.router.add_route("*", "/{path:.*}", self._respond)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield
        finally:
            for answer in self._answers:
                answer.cancel()
            await asyncio.gather(*self._answers, return_exceptions=True)
            await runner.cleanup()

    async def _respond(self, request: web.Request) -> web.StreamResponse:
        task = asyncio.current_task()
        assert task is not None
        self._answers.add(task)
        task.add_done_callback(self._answers.discard)
        body = await request.read()
        about = asked(request.method, request.path, body)
        is_watch = request.query.get("watch") == "true"
        key = ("WATCH" if is_watch else about.method, about.path)
        self.asked[key] += 1
        try:
            if is_watch:
                fault = await self._faults.of_watch(about, self.asked[key])
                return await self._watch(request, fault)
            return await self._answer(request, body, about, await self._faults.of_request(about, self.asked[key]))
        except (CutError, aiohttp.ClientError, ConnectionError):
            _abort(request)
            return web.Response(status=500)  # which nobody gets

    async def _answer(self, request: web.Request, body: bytes, about: Asked, fault: Fault | None) -> web.StreamResponse:
        if fault is not None:
            self.faults_seen[fault.name] += 1
        if fault is Fault.LOST_REQUEST:
            raise CutError
        if fault is not None and not fault.is_seen:
            return _refusal(fault)
        write = self._count(about)
        if write is not None:
            await self._faults.before(write)
        async with self._open(request, body) as answer:
            content = await answer.read()
        if write is not None:
            await self._faults.after(write)
        if fault is Fault.SLOW:
            await asyncio.sleep(_SLOW_SECONDS)
        if fault is Fault.LOST_ANSWER:
            raise CutError
        if fault is Fault.BROKEN_ANSWER:
            return _refusal(fault)
        return web.Response(status=answer.status, body=content, headers=_kept(answer))

    def _count(self, about: Asked) -> Write | None:
        if not about.is_write:
            return None
        self.writes[about.job] += 1
        return Write(about, self.writes[about.job])

    async def _watch(self, request: web.Request, fault: WatchFault) -> web.StreamResponse:
        if fault.is_too_old:
            self.faults_seen["TOO_OLD"] += 1
            return web.json_response(TOO_OLD, status=410)
        async with self._open(request, b"") as answer:
            response = web.StreamResponse(status=answer.status, headers=_kept(answer))
            await response.prepare(request)
            try:
                async with aclosing(faulty_lines(answer.content, fault)) as lines:
                    async for line in lines:
                        await response.write(line)
            except (CutError, aiohttp.ClientError, ConnectionError):
                _abort(request)
            return response

    @asynccontextmanager
    async def _open(self, request: web.Request, body: bytes) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {name: request.headers[name] for name in _PASSED_ON if name in request.headers}
        url = URL(self._upstream.url + request.raw_path, encoded=True)
        session = self._upstream.session
        async with session.request(request.method, url, data=body or None, headers=headers) as answer:
            yield answer


def _kept(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name: answer.headers[name] for name in ("Content-Type", "Retry-After") if name in answer.headers}


def _refusal(fault: Fault) -> web.Response:
    code, reason = _REFUSALS[fault]
    status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason}
    text = json.dumps({**status, "message": f"injected {reason}"})
    headers = {"Retry-After": "1"} if code == 429 else None
    return web.Response(text=text, status=code, headers=headers, content_type="application/json")


def _abort(request: web.Request) -> None:
    """Reset the connection, in the middle of whatever was said."""
    if request.transport is not None:
        request.transport.abort()
