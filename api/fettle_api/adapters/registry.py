"""Adapters of the namespace: list, find, make from files that are there, mark for loading, delete with their files."""

import asyncio
import logging
import re
from typing import Any

from fettle_api.adapters.removal import FileRemoval
from fettle_api.adapters.views import AdapterView, view_adapter
from fettle_api.errors import AdapterNotFoundError
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.metrics import Metrics
from fettle_api.resources.watch_cache import WatchCache
from fettle_client.protocol import ADAPTERS, AlreadyExistsError, Manifest, NotFoundError, ResourceClient
from fettle_schema import layout
from fettle_schema.base import API_VERSION, HUB_ID_PATTERN, LABEL_NAME_PATTERN, WORKSPACE_PATH_PATTERN
from fettle_schema.names import LABEL_MANAGED_BY, MANAGED_BY, slug
from fettle_schema.validation import admit

_OWN_DIRECTORIES = (layout.ADAPTERS, layout.MODELS, layout.UPLOADS, layout.JOBS, layout.DATASETS)
_logger = logging.getLogger(__name__)


class Adapters:
    """Reads come from a watch; a writer returns when its own reads see the write."""

    def __init__(
        self,
        client: ResourceClient,
        namespace: str,
        workspace: Workspace,
        writer: WorkspaceWriter,
        timeout_seconds: float = 5.0,
        metrics: Metrics | None = None,
    ) -> None:
        self._client, self._namespace = client, namespace
        self._workspace = workspace
        self._timeout_seconds = timeout_seconds
        self._cache: WatchCache[AdapterView] = WatchCache(
            client, ADAPTERS, namespace, view_adapter, lambda adapter: adapter.created_at, metrics=metrics
        )
        self._removal = FileRemoval(self._cache, writer)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._cache.run(), name="watch-adapters")
        self._task.add_done_callback(_report)

    async def stop(self) -> None:
        """End the watch."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    @property
    def is_alive(self) -> bool:
        """The watch has not ended; once it has, the process must be started again."""
        return self._task is None or not self._task.done()

    async def all(self) -> list[AdapterView]:
        """All of them, the newest first. Raises NotReadyError."""
        await self._cache.wait_filled(self._timeout_seconds)
        return self._cache.all()[::-1]

    async def get(self, name: str) -> AdapterView:
        """One of them; a miss is confirmed at the API server. Raises AdapterNotFoundError, NotReadyError."""
        await self._cache.wait_filled(self._timeout_seconds)
        found = self._cache.get(name)
        if found is not None:
            return found
        try:
            return view_adapter(await self._client.get(ADAPTERS, name, self._namespace))
        except NotFoundError as error:
            raise AdapterNotFoundError(name) from error

    async def get_ready(self, name: str) -> AdapterView:
        """The same; one whose files nobody has published yet is not found."""
        adapter = await self.get(name)
        if adapter.path is None:
            raise AdapterNotFoundError(name)
        return adapter

    async def find_by_path(self, path: str) -> AdapterView | None:
        """The one whose files lie there now."""
        return next((adapter for adapter in await self.all() if adapter.path == path), None)

    async def starting_point(self, text: str, base_model: str) -> AdapterView:
        """What training shall start from: an Adapter's name or path, else one is made of files or of a hub id.

        Raises AdapterNotFoundError for what is none of these.
        """
        path = text.removeprefix("./").rstrip("/")
        own_name = path.removeprefix(f"{layout.ADAPTERS}/")
        if re.fullmatch(LABEL_NAME_PATTERN, own_name):
            return await self.get(own_name)
        known = await self.find_by_path(path)
        if known is not None:
            return known
        if re.fullmatch(WORKSPACE_PATH_PATTERN, path) and await self._is_adapter(path):
            return await self.ensure(slug(path), base_model, {"workspace": {"path": path}})
        if path.partition("/")[0] not in _OWN_DIRECTORIES and "/" in text and re.fullmatch(HUB_ID_PATTERN, text):
            return await self.ensure(slug(text), base_model, {"huggingFace": {"id": text}})
        raise AdapterNotFoundError(text[:128])

    async def ensure(self, name: str, base_model: str, source: Manifest) -> AdapterView:
        """An Adapter of files that no job of ours made; the same again is the same. Raises InvalidManifestError."""
        manifest = admit(
            {
                "apiVersion": API_VERSION,
                "kind": "Adapter",
                "metadata": {
                    "name": name,
                    "namespace": self._namespace,
                    "labels": {LABEL_MANAGED_BY: MANAGED_BY},
                },
                "spec": {"baseModel": {"id": base_model}, "source": source},
            }
        )
        try:
            created = await self._client.create(ADAPTERS, manifest)
        except AlreadyExistsError:
            return await self.get(name)
        await self._cache.wait_for(created, self._timeout_seconds)
        return view_adapter(created)

    async def ask_for_loading(self, name: str, wanted: bool) -> AdapterView:
        """Whether engines shall have it. Raises AdapterNotFoundError."""
        adapter = await self.get(name)
        if adapter.spec.serving.load == wanted:
            return adapter
        return await self._patch(name, {"serving": {"load": wanted}})

    async def delete(self, name: str) -> None:
        """For good: the files of all its versions go too, at the latest when engines have unloaded it.

        Raises AdapterNotFoundError.
        """
        adapter = await self.get(name)
        if adapter.spec.deletion_policy != "Delete":
            adapter = await self._patch(name, {"deletionPolicy": "Delete"})
        await self._client.delete(ADAPTERS, name, self._namespace, uid=adapter.uid)
        if await self._cache.wait_until(lambda: self._is_gone(adapter), self._timeout_seconds):
            await self._removal.finish(adapter)

    async def has_files(self, adapter: AdapterView) -> bool:
        """Whether an engine would find a directory where the files should be."""
        path = adapter.path
        return path is not None and await asyncio.to_thread(self._workspace.exists, path)

    async def _is_adapter(self, path: str) -> bool:
        return await asyncio.to_thread(self._workspace.exists, f"{path}/{layout.ADAPTER_CONFIG_FILE}")

    def _is_gone(self, adapter: AdapterView) -> bool:
        held = self._cache.get(adapter.name)
        return held is None or held.uid != adapter.uid

    async def _patch(self, name: str, spec: dict[str, Any]) -> AdapterView:
        try:
            patched = await self._client.patch(ADAPTERS, name, self._namespace, {"spec": spec})
        except NotFoundError as error:
            raise AdapterNotFoundError(name) from error
        await self._cache.wait_for(patched, self._timeout_seconds)
        return view_adapter(patched)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _logger.error("the watch ended unexpectedly", exc_info=task.exception(), extra={"task": task.get_name()})
