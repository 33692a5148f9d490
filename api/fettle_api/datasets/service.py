"""Use cases of datasets, for all dialects."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, suppress
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from fettle_api.datasets.additions import Additions
from fettle_api.datasets.catalog import Catalog, is_dataset_name
from fettle_api.datasets.preview import Previews
from fettle_api.datasets.views import DatasetPreview, DatasetView, FormattedRows, ModelTemplate
from fettle_api.errors import (
    BodyTooLargeError,
    DatasetNotFoundError,
    DatasetRefusedError,
    FileMissingError,
    RemoteError,
    StorageFullError,
)
from fettle_api.files.incoming import IncomingFile, incoming_file
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.outbound import Outbound
from fettle_schema.dataset import DatasetSource, DatasetSpec
from fettle_schema.layout import DATASETS
from fettle_schema.stored_dataset import dataset_directory
from fettle_schema.training_job import Method

FETCH_SECONDS = 600.0
_CHUNK_BYTES = 256 * 1024


class Datasets:
    """Datasets of the workspace, each with its versions, and registered ones."""

    def __init__(
        self,
        workspace: Workspace,
        writer: WorkspaceWriter,
        previews: Previews,
        clock: Callable[[], datetime],
        outbound: Outbound,
        max_bytes: int,
    ) -> None:
        self._workspace, self._writer, self._previews = workspace, writer, previews
        self._outbound, self._max_bytes = outbound, max_bytes
        self._catalog = Catalog(workspace)
        self._additions = Additions(workspace, writer, self._catalog, clock)

    async def all(self) -> list[DatasetView]:
        """All datasets, the newest first."""
        return await asyncio.to_thread(self._catalog.all)

    async def get(self, name: str) -> DatasetView:
        """Raises DatasetNotFoundError."""
        return await asyncio.to_thread(self._catalog.get, name)

    def receive(self) -> AbstractAsyncContextManager[IncomingFile]:
        """A place for a file that arrives; `publish` makes a dataset of it, else it is gone after the block."""
        return incoming_file(self._writer, DATASETS)

    async def publish(self, incoming: IncomingFile, name: str, description: str = "") -> DatasetView:
        """The next version of the dataset. Raises BodyError, DatasetRefusedError, NameTakenError, StorageFullError."""
        return await self._publish(incoming, name, description)

    async def fetch(self, url: str, name: str, description: str = "") -> DatasetView:
        """A file of the internet as the next version, fetched once; named after the URL's path if `name` is empty.

        Raises UrlError, RemoteError, BodyTooLargeError, and as `publish`.
        """
        file_name = PurePosixPath(unquote(urlsplit(url).path)).name or "dataset.jsonl"
        async with (
            self._outbound.request("GET", url, timeout_seconds=FETCH_SECONDS) as answer,
            self.receive() as incoming,
        ):
            if answer.status != 200:
                raise RemoteError(f"the server answers {answer.status} instead of 200")
            await incoming.open(file_name)
            async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                if incoming.received_bytes + len(chunk) > self._max_bytes:
                    raise BodyTooLargeError(f"the file is larger than {self._max_bytes} bytes")
                await incoming.write(chunk)
            stem = PurePosixPath(incoming.file_name).stem or "dataset"
            return await self._publish(incoming, name.strip() or stem, description, "url")

    async def _publish(
        self, incoming: IncomingFile, name: str, description: str, origin: str | None = None
    ) -> DatasetView:
        stored, version = await self._additions.publish(incoming, name, description, origin)
        if incoming.line_count is None:
            await self._count(stored, version)
        return await self.get(stored)

    async def write_rows(
        self, name: str, rows: Iterable[Mapping[str, Any]], description: str = ""
    ) -> tuple[DatasetView, str]:
        """Examples of a request as the next version, and its name. Raises as `publish`."""
        stored, version = await self._additions.write_rows(name, rows, description)
        return await self.get(stored), version

    async def register(self, name: str, source: DatasetSource, description: str = "") -> DatasetView:
        """Rows on the hub, or elsewhere in the workspace, under a name. Raises DatasetRefusedError, NameTakenError."""
        if source.workspace is not None and not await asyncio.to_thread(self._workspace.exists, source.workspace.path):
            raise DatasetRefusedError(f"there is no {source.workspace.path!r} in the workspace")
        stored = await asyncio.to_thread(self._additions.register, name, source, description)
        return await self.get(stored)

    async def delete(self, name: str, version: str | None = None) -> None:
        """Files and all; of a registered dataset only the registration. Raises DatasetNotFoundError."""
        if not is_dataset_name(name) or not is_dataset_name(version or "v1"):
            raise DatasetNotFoundError(name)
        try:
            await asyncio.to_thread(self._writer.remove_directory, dataset_directory(name, version))
        except FileMissingError as error:
            raise DatasetNotFoundError(name) from error

    async def preview(self, name: str, limit: int, version: str | None = None) -> DatasetPreview:
        """The first rows. Raises DatasetNotFoundError, DatasetRefusedError."""
        return await self.preview_source(await asyncio.to_thread(self._catalog.source, name, version), limit)

    async def preview_source(self, source: DatasetSource, limit: int) -> DatasetPreview:
        """The same for what a job would read. Raises DatasetRefusedError."""
        return await self._previews.rows(source, limit)

    async def has_rows(self, source: DatasetSource) -> bool:
        """Whether there is anything where a job would read; of the hub nobody can say, and the answer is yes."""
        return source.workspace is None or await asyncio.to_thread(self._workspace.exists, source.workspace.path)

    async def preview_formatted(
        self, dataset: DatasetSpec, method: Method | None, limit: int, model: ModelTemplate | None = None
    ) -> FormattedRows:
        """The first rows as a method trains on them. Raises DatasetRefusedError."""
        return await self._previews.formatted(dataset, method, limit, model)

    async def count_rows(self, source: DatasetSource) -> int | None:
        """All rows of what a job would read; None where that takes too long, or they cannot be read."""
        with suppress(DatasetRefusedError):
            return await self._previews.count(source)
        return None

    async def _count(self, name: str, version: str) -> None:
        """Note the number of rows, where it can be found out in time."""
        with suppress(DatasetRefusedError, DatasetNotFoundError, StorageFullError):
            count = await self._previews.count(await asyncio.to_thread(self._catalog.source, name, version))
            await asyncio.to_thread(self._additions.note_count, name, version, count)

    def registered(self, name: str) -> DatasetSource | None:
        """Where the rows of a registered dataset are; None for any other name. Blocks."""
        return self._catalog.registered(name)
