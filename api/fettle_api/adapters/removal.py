"""Files of Adapters with `deletionPolicy: Delete` go when their Adapter goes, whoever deletes it. The edge to them.

What is deleted while no facade runs keeps its files: nothing is removed that this process has not seen with its policy.
"""

import asyncio
import logging
from contextlib import suppress

from fettle_api.adapters.views import AdapterView
from fettle_api.errors import FileMissingError
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.resources.watch_cache import WatchCache
from fettle_schema import layout

_logger = logging.getLogger(__name__)


class FileRemoval:
    """Hears of every change of an Adapter, and remembers whose files are to go."""

    def __init__(self, cache: WatchCache[AdapterView], writer: WorkspaceWriter) -> None:
        self._cache, self._writer = cache, writer
        self._doomed: dict[str, str] = {}
        """Name of an Adapter with that policy → the directory of all its versions."""
        self._tasks: dict[str, asyncio.Task[None]] = {}
        cache.subscribe(self._hear)

    async def finish(self, adapter: AdapterView) -> None:
        """Until the files of an Adapter that was just deleted are gone, whether or not that was heard of yet."""
        directory = own_directory(adapter)
        if adapter.name not in self._tasks and directory is not None:
            self._begin(adapter.name, directory)
        if (task := self._tasks.get(adapter.name)) is not None:
            await asyncio.shield(task)

    def _hear(self, name: str) -> None:
        adapter = self._cache.get(name)
        if adapter is None:
            directory = self._doomed.pop(name, None)
            if directory is not None:
                self._begin(name, directory)
            return
        directory = own_directory(adapter)
        if adapter.spec.deletion_policy == "Delete" and directory is not None:
            self._doomed[name] = directory
        else:
            self._doomed.pop(name, None)

    def _begin(self, name: str, directory: str) -> None:
        task = asyncio.create_task(self._remove(name, directory), name=f"remove {directory}")
        self._tasks[name] = task
        task.add_done_callback(lambda done: self._forget(name, done))

    def _forget(self, name: str, done: asyncio.Task[None]) -> None:
        if self._tasks.get(name) is done:
            del self._tasks[name]

    async def _remove(self, name: str, directory: str) -> None:
        try:
            await asyncio.to_thread(_remove_files, self._writer, directory)
            _logger.info("files removed with their Adapter", extra={"adapter": name, "directory": directory})
        except OSError as error:
            _logger.error("files of a deleted Adapter stay", extra={"adapter": name, "error": str(error)})


def own_directory(adapter: AdapterView) -> str | None:
    """The directory of all its versions; None for files that lie elsewhere."""
    directory = f"{layout.ADAPTERS}/{adapter.name}"
    return directory if (adapter.path or "").startswith(f"{directory}/") else None


def _remove_files(writer: WorkspaceWriter, directory: str) -> None:
    with suppress(FileMissingError):
        writer.remove_directory(directory)
