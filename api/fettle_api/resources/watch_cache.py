"""A copy of one kind's resources, fed by a watch, so that reads do not list the API server. Holds views, not rules."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fettle_api.errors import NotReadyError
from fettle_api.metrics import Metrics
from fettle_api.resources.ordered import OrderedItems
from fettle_client.protocol import ApiError, GoneError, Manifest, ResourceClient, ResourceKind, Synced

View = TypeVar("View")
Listener = Callable[[str], None]
"""Called with the name of a resource that has changed or gone."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Entry(Generic[View]):
    version: int
    view: View


class WatchCache(Generic[View]):
    """Views of all resources of a kind in one namespace."""

    def __init__(
        self,
        client: ResourceClient,
        kind: ResourceKind,
        namespace: str,
        build_view: Callable[[Manifest], View],
        sort_key: Callable[[View], Any],
        retry_seconds: float = 1.0,
        metrics: Metrics | None = None,
    ) -> None:
        self._client, self._kind, self._namespace = client, kind, namespace
        self._build_view = build_view
        self._retry_seconds = retry_seconds
        self._metrics = metrics or Metrics()
        self._entries = OrderedItems[_Entry[View]](lambda entry: sort_key(entry.view))
        self._version = 0
        self._is_filled = asyncio.Event()
        self._changed = asyncio.Condition()
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` at each change from now on."""
        self._listeners.append(listener)

    def get(self, name: str) -> View | None:
        """The view, or None if the cache does not have it (yet)."""
        entry = self._entries.get(name)
        return entry.view if entry else None

    def all(self) -> list[View]:
        """All views, in order."""
        return [entry.view for entry in self._entries]

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def is_filled(self) -> bool:
        """The first list has arrived."""
        return self._is_filled.is_set()

    async def wait_filled(self, timeout_seconds: float) -> None:
        """Raises NotReadyError."""
        if self.is_filled:
            return
        try:
            async with asyncio.timeout(timeout_seconds):
                await self._is_filled.wait()
        except TimeoutError as error:
            raise NotReadyError("resources have not been read yet; try again") from error

    async def wait_for(self, manifest: Manifest, timeout_seconds: float) -> bool:
        """Until the cache has this write or a later one; False if it took too long."""
        version = _version_of(manifest)
        try:
            async with asyncio.timeout(timeout_seconds), self._changed:
                await self._changed.wait_for(lambda: self._version >= version)
        except TimeoutError:
            _logger.warning("cache is behind", extra={"kind": self._kind.kind, "version": version})
            return False
        return True

    async def wait_until(self, condition: Callable[[], bool], timeout_seconds: float) -> bool:
        """Until changes have made `condition` true; False if it took too long."""
        try:
            async with asyncio.timeout(timeout_seconds), self._changed:
                await self._changed.wait_for(condition)
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Read everything, then follow its changes, for ever; after an error again."""
        while True:
            try:
                await self._observe()
            except GoneError:
                continue
            except ApiError as error:
                self._metrics.watch_failed(self._kind.kind)
                _logger.warning("watch failed, retrying", extra={"kind": self._kind.kind, "error": str(error)})
            await asyncio.sleep(self._retry_seconds)

    async def _observe(self) -> None:
        told, is_synced = set[str](), False
        async for event in self._client.observe(self._kind, self._namespace):
            if isinstance(event, Synced):
                is_synced = True
                await self._sync(told, event.resource_version)
                continue
            name = event.manifest["metadata"]["name"]
            if event.type == "DELETED":
                self._entries.remove(name)
            else:
                self._store(event.manifest)
            if is_synced:
                await self._advance(_version_of(event.manifest), [name])
                continue
            told.add(name)
            if len(told) % 100 == 0:
                await asyncio.sleep(0)  # requests go on while thousands are read

    async def _sync(self, told: set[str], version: str) -> None:
        """Everything has been told that is there; what has not is gone."""
        gone = [name for name in self._entries.names() if name not in told]
        for name in gone:
            self._entries.remove(name)
        await self._advance(int(version), [*gone, *self._entries.names()])
        self._is_filled.set()

    def _store(self, manifest: Manifest) -> None:
        name, version = manifest["metadata"]["name"], _version_of(manifest)
        held = self._entries.get(name)
        if held is not None and held.version == version:
            return
        try:
            view = self._build_view(manifest)
        except ValueError as error:  # pydantic's ValidationError: a resource newer than this program
            _logger.error(
                "resource cannot be read", extra={"kind": self._kind.kind, "resource": name, "error": str(error)}
            )
            self._entries.remove(name)
            return
        self._entries.put(name, _Entry(version, view))

    async def _advance(self, version: int, names: list[str]) -> None:
        async with self._changed:
            self._version = max(self._version, version)
            self._changed.notify_all()
        for listener in self._listeners:
            for name in names:
                with suppress(Exception):  # a listener must not stop the watch; it logs for itself
                    listener(name)


def _version_of(manifest: Manifest) -> int:
    """Resource versions of one kind grow; Kubernetes says so since 1.35, and every server before did so."""
    return int(manifest["metadata"]["resourceVersion"])
