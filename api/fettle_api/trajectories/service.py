"""Use cases of trajectories: take in, list, show, build a dataset. No HTTP, no dialect."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from fettle_api.datasets.service import Datasets
from fettle_api.datasets.views import DatasetView
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.trajectories.building import VERSION, DatasetBuilder
from fettle_api.trajectories.examples import choose
from fettle_api.trajectories.files import Kept, TrajectoryFiles
from fettle_api.trajectories.model import Trajectory, TrajectorySummary
from fettle_api.trajectories.reading import read_trajectories
from fettle_api.trajectories.scrubbing import Scrubber
from fettle_schema.dataset import DatasetSource, WorkspaceSource

MAX_BODY_BYTES = 16 * 1024 * 1024
DEFAULT_LIMIT = 250
DEFAULT_MIN_LLM_CALLS = 1


@dataclass(frozen=True)
class Ingested:
    """Trajectories that were taken in."""

    trajectories: tuple[Trajectory, ...]
    """In the order in which they came; of several with one id the last."""
    received: int
    """All that came, also those with the same id."""
    kept: Kept
    secret_count: int
    email_count: int


class Trajectories:
    """Trajectories of the workspace, and the datasets that are built from them."""

    def __init__(
        self, workspace: Workspace, writer: WorkspaceWriter, datasets: Datasets, clock: Callable[[], datetime]
    ) -> None:
        self._files = TrajectoryFiles(workspace, writer)
        self._builder = DatasetBuilder(workspace, writer, clock)
        self._datasets, self._clock = datasets, clock
        self._turn = asyncio.Lock()

    async def ingest(self, body: bytes) -> Ingested:
        """One trajectory as JSON, or one a line. All or none. Raises BodyError, StorageFullError."""
        now, scrubber = self._clock(), Scrubber()
        read = await asyncio.to_thread(read_trajectories, body, now, scrubber)
        trajectories = list({trajectory.id: trajectory for trajectory in read}.values())
        async with self._turn:  # of two at once with the same id, the second sees the first
            kept = await asyncio.to_thread(self._files.keep, trajectories, round(now.timestamp() * 1_000_000))
        return Ingested(tuple(trajectories), len(read), kept, scrubber.secret_count, scrubber.email_count)

    async def page(self, offset: int, limit: int) -> tuple[list[TrajectorySummary], int]:
        """Summaries, the newest first, and how many there are in all."""
        return await asyncio.to_thread(self._files.page, offset, limit)

    async def get(self, trajectory_id: str) -> Trajectory:
        """Raises TrajectoryNotFoundError."""
        return await asyncio.to_thread(self._files.get, trajectory_id)

    async def datasets(self) -> list[DatasetView]:
        """Datasets that were built from trajectories, the newest first."""
        return [dataset for dataset in await self._datasets.all() if is_built(dataset)]

    async def build(self, limit: int = DEFAULT_LIMIT, min_llm_calls: int = DEFAULT_MIN_LLM_CALLS) -> DatasetView:
        """A dataset of the newest trajectories, possibly an empty one. Raises StorageFullError."""
        name = await asyncio.to_thread(self._build, limit, min_llm_calls)
        return await self._datasets.get(name)

    async def latest(self) -> DatasetView:
        """The dataset that was built last, built now if there is none. Raises StorageFullError."""
        for dataset in await self.datasets():
            if dataset.description and dataset.description.example_count:
                return dataset
        return await self.build()

    async def source(self, dataset: DatasetView, max_trajectories: int | None) -> DatasetSource:
        """What a job reads: all of the dataset, or the examples of its newest trajectories.

        Raises StorageFullError.
        """
        if dataset.source is not None or dataset.newest is None:
            return dataset.source or DatasetSource(workspace=WorkspaceSource(path=dataset.path))
        version = dataset.newest.name
        if max_trajectories is not None and is_built(dataset):
            version = await asyncio.to_thread(self._builder.cut, dataset, dataset.newest, max_trajectories)
        return DatasetSource(workspace=WorkspaceSource(path=dataset.path, version=version or None))

    def _build(self, limit: int, min_llm_calls: int) -> str:
        return self._builder.build(choose(self._files.newest_first(), limit, min_llm_calls), limit, min_llm_calls)


def is_built(dataset: DatasetView) -> bool:
    """Whether a dataset was built from trajectories."""
    newest = dataset.newest
    if newest is None or newest.name != VERSION or newest.description is None:
        return False
    return newest.description.trajectories is not None
