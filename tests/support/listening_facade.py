"""A facade that listens on its ports in a thread of its own: for callers that know nothing of event loops."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle_api.app import DIALECTS, create_app
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.logs import WorkspaceLogs
from fettle_api.server import Servers
from fettle_api.settings import ApiSettings
from tests.support.facade import NAMESPACE, ReviewingClient

_START_SECONDS = 60


@dataclass(frozen=True)
class ListeningFacade:
    """Where it listens."""

    urls: dict[str, str]
    """Root of each dialect."""


@contextmanager
def listening_facade(
    root: Path, prepare: Callable[[ReviewingClient], None] = lambda _: None, **settings: Any
) -> Iterator[ListeningFacade]:
    """Every dialect over one client in memory, which `prepare` may fill before the facade starts."""
    ports = {dialect.name: 0 for dialect in DIALECTS if dialect.prefix is None}
    values: dict[str, Any] = {"namespace": NAMESPACE, "workspace": root, "port": 0, "dialect_ports": ports}
    thread = _FacadeThread(ApiSettings(**{**values, "default_gpus": 0, **settings}), root, prepare)
    thread.start()
    try:
        yield thread.wait()
    finally:
        thread.stop()


class _FacadeThread(threading.Thread):
    def __init__(self, settings: ApiSettings, root: Path, prepare: Callable[[ReviewingClient], None]) -> None:
        super().__init__(name="facade", daemon=True)
        self._settings, self._root, self._prepare = settings, root, prepare
        self._is_started, self._error = threading.Event(), ""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._end: asyncio.Event | None = None
        self._found: ListeningFacade | None = None

    def wait(self) -> ListeningFacade:
        assert self._is_started.wait(_START_SECONDS), "the facade does not start"
        assert self._found is not None, self._error
        return self._found

    def stop(self) -> None:
        if self._loop is not None and self._end is not None and self.is_alive():
            self._loop.call_soon_threadsafe(self._end.set)
        self.join(_START_SECONDS)

    def run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # a thread's edge: whoever waits shall know
            self._error = f"{type(error).__name__}: {error}"
            raise
        finally:
            self._is_started.set()

    async def _serve(self) -> None:
        client = ReviewingClient()
        self._prepare(client)
        app = create_app(self._settings, client, self._root, WorkspaceLogs(Workspace(self._root)))
        servers = Servers(app, self._settings)
        await servers.start()
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._found = ListeningFacade({dialect.name: _url(servers.ports, dialect) for dialect in DIALECTS})
        self._is_started.set()
        await self._end.wait()
        await servers.stop()
        await client.close()


def _url(ports: dict[str, int], dialect: Any) -> str:
    port = ports["main" if dialect.prefix else dialect.name]
    return f"http://127.0.0.1:{port}{dialect.prefix or ''}"
