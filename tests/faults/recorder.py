"""Every version of every resource that matters, as the API server itself tells it: nothing passes through a proxy."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fettle_client.protocol import (
    ADAPTERS,
    JOBS,
    PODS,
    TRAINING_JOBS,
    Manifest,
    ResourceClient,
    ResourceKind,
    Synced,
)
from tests.faults.history import Change
from tests.support.polling import eventually

_KINDS = (TRAINING_JOBS, JOBS, PODS, ADAPTERS)

Listener = Callable[[Change], None]


class Recorder:
    """Histories by namespace; who listens to one hears of its changes at once."""

    def __init__(self, client: ResourceClient) -> None:
        self._client = client
        self._histories: defaultdict[str, list[Change]] = defaultdict(list)
        self._listeners: dict[str, Listener] = {}

    def history(self, namespace: str) -> list[Change]:
        """What happened there until now, kind by kind in order."""
        return self._histories[namespace]

    async def catch_up(self, namespace: str) -> None:
        """Wait until the history has everything that is there now."""
        for kind in _KINDS:
            listed = await self._client.list(kind, namespace)
            wanted = {_version(kind.kind, item) for item in listed.items}

            async def has_all(wanted: set[tuple[str, str, str]] = wanted) -> bool:
                return wanted <= {_version(change.kind, change.manifest) for change in self._histories[namespace]}

            await eventually(has_all, f"the history of {namespace} has every {kind.kind}")

    def listen(self, namespace: str, listener: Listener) -> None:
        """Call `listener` with each change from now on."""
        self._listeners[namespace] = listener

    @asynccontextmanager
    async def recording(self) -> AsyncIterator[None]:
        """Record while inside; a history with a gap ends everything inside with the error."""
        synced = [asyncio.Event() for _ in _KINDS]
        async with asyncio.TaskGroup() as group:
            watches = [group.create_task(self._record(kind, event)) for kind, event in zip(_KINDS, synced, strict=True)]
            for event in synced:
                await event.wait()
            yield
            for watch in watches:
                watch.cancel()

    async def _record(self, kind: ResourceKind, synced: asyncio.Event) -> None:
        async for event in self._client.observe(kind, None):
            if isinstance(event, Synced):
                synced.set()
                continue
            change = Change(event.type, kind.kind, event.manifest)
            namespace = event.manifest["metadata"]["namespace"]
            self._histories[namespace].append(change)
            if listener := self._listeners.get(namespace):
                listener(change)


def _version(kind: str, manifest: Manifest) -> tuple[str, str, str]:
    return kind, manifest["metadata"]["uid"], manifest["metadata"]["resourceVersion"]
