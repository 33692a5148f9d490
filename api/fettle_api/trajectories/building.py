"""Datasets built from trajectories: the same examples are the same dataset. All calls block."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime

from fettle_api.datasets.views import DatasetView, VersionView
from fettle_api.errors import NameTakenError
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import Staging, WorkspaceWriter, close_synced, write_all
from fettle_api.trajectories.examples import TrajectoryExamples
from fettle_schema.layout import DATASETS
from fettle_schema.stored_dataset import (
    DESCRIPTION_FILE,
    DatasetDescription,
    TrajectorySelection,
    content_digest,
    dataset_directory,
)

VERSION = "v1"
ROWS_FILE = "data.jsonl"
_BLOCK_BYTES = 1024 * 1024


class DatasetBuilder:
    """Writes below `datasets/`."""

    def __init__(self, workspace: Workspace, writer: WorkspaceWriter, clock: Callable[[], datetime]) -> None:
        self._workspace, self._writer, self._clock = workspace, writer, clock

    def build(self, chosen: Iterable[TrajectoryExamples], limit: int, min_llm_calls: int) -> str:
        """The dataset's name, which follows from its examples; built again it is the newest. Raises StorageFullError.

        It may be empty: whoever asked is told so.
        """
        staging = self._writer.stage(DATASETS)
        try:
            counts: list[int] = []
            rows = _Rows(staging, _lines(chosen, counts))
            described = rows.described(self._clock()).model_copy(
                update={
                    "trajectories": TrajectorySelection(limit=limit, min_llm_calls=min_llm_calls, example_counts=counts)
                }
            )
            self._publish(staging, described, VERSION)
            return described.name
        finally:
            staging.discard()

    def cut(self, dataset: DatasetView, version: VersionView, trajectory_count: int) -> str:
        """The version of a built dataset with the examples of its newest trajectories only; made if need be."""
        selection = version.description.trajectories if version.description else None
        if selection is None or trajectory_count >= len(selection.example_counts):
            return version.name
        counts = selection.example_counts[:trajectory_count]
        name = f"newest-{trajectory_count}"
        if self._workspace.exists(dataset_directory(dataset.name, name)):
            return name
        staging = self._writer.stage(DATASETS)
        try:
            rows = _Rows(staging, self._first_lines(f"{dataset.path}/{version.name}/{ROWS_FILE}", sum(counts)))
            cut = selection.model_copy(update={"limit": trajectory_count, "example_counts": counts})
            described = rows.described(self._clock()).model_copy(update={"name": dataset.name, "trajectories": cut})
            self._publish(staging, described, name)
            return name
        finally:
            staging.discard()

    def _publish(self, staging: Staging, described: DatasetDescription, version: str) -> None:
        content = (json.dumps(described.manifest(), ensure_ascii=False) + "\n").encode()
        staging.add_file(DESCRIPTION_FILE, content)
        path = dataset_directory(described.name, version)
        try:
            staging.publish(path)
        except NameTakenError:
            with suppress(NameTakenError):
                self._writer.write_file(f"{path}/{DESCRIPTION_FILE}", content, replace=True)

    def _first_lines(self, path: str, count: int) -> Iterator[bytes]:
        file = self._workspace.open_file(path)
        with os.fdopen(file.descriptor, "rb") as lines:
            for _, line in zip(range(count), lines, strict=False):
                yield line


class _Rows:
    """Rows as they were written to a staging directory, and what is known of them."""

    def __init__(self, staging: Staging, lines: Iterable[bytes]) -> None:
        self._digest, self._size_bytes, self._count = hashlib.sha256(), 0, 0
        descriptor, block = staging.create(ROWS_FILE), bytearray()
        try:
            for line in lines:
                block += line
                self._count += 1
                if len(block) >= _BLOCK_BYTES:
                    self._write(descriptor, bytes(block))
                    block.clear()
            self._write(descriptor, bytes(block))
        finally:
            close_synced(descriptor)

    def described(self, now: datetime) -> DatasetDescription:
        digest = content_digest([(ROWS_FILE, self._digest.digest())])
        return DatasetDescription(
            name=f"dataset-{digest.removeprefix('sha256:')[:12]}",
            description="Built from trajectories: one example for each call of a model.",
            created_at=now,
            digest=digest,
            size_bytes=self._size_bytes,
            example_count=self._count,
        )

    def _write(self, descriptor: int, block: bytes) -> None:
        write_all(descriptor, block)
        self._digest.update(block)
        self._size_bytes += len(block)


def _lines(chosen: Iterable[TrajectoryExamples], counts: list[int]) -> Iterator[bytes]:
    for one in chosen:
        counts.append(len(one.examples))
        for example in one.examples:
            yield json.dumps(example, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"
