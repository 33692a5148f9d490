"""Which datasets the workspace holds. Reads only; every file there is hostile. All calls block."""

import os
import re
from datetime import UTC, datetime

from pydantic import ValidationError

from fettle_api.datasets.views import DatasetView, VersionView
from fettle_api.errors import DatasetNotFoundError, FileMissingError
from fettle_api.files.workspace import Workspace
from fettle_schema.dataset import DatasetSource, WorkspaceSource
from fettle_schema.layout import DATASETS
from fettle_schema.stored_dataset import (
    DATASET_NAME_PATTERN,
    DESCRIPTION_FILE,
    DatasetDescription,
    dataset_directory,
    version_order,
)

_MAX_DESCRIPTION_BYTES = 64 * 1024
_EPOCH = datetime.min.replace(tzinfo=UTC)


class Catalog:
    """Datasets below `datasets/`."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def all(self) -> list[DatasetView]:
        """All datasets, the newest first."""
        try:
            names = self._workspace.list_directories(DATASETS)
        except FileMissingError:
            return []
        found = [self._find(name) for name in names]
        return sorted(filter(None, found), key=lambda dataset: (dataset.created_at or _EPOCH, dataset.name))[::-1]

    def get(self, name: str) -> DatasetView:
        """Raises DatasetNotFoundError."""
        found = self._find(name)
        if found is None:
            raise DatasetNotFoundError(name)
        return found

    def registered(self, name: str) -> DatasetSource | None:
        """Where the rows of a registered dataset are; None for any other name."""
        description = self._description(dataset_directory(name)) if is_dataset_name(name) else None
        return description.source if description else None

    def source(self, name: str, version: str | None = None) -> DatasetSource:
        """What a job would read. Raises DatasetNotFoundError."""
        dataset = self.get(name)
        if dataset.source is not None:
            return dataset.source
        if version is not None and version not in [known.name for known in dataset.versions]:
            raise DatasetNotFoundError(f"{name}/{version}")
        return DatasetSource(workspace=WorkspaceSource(path=dataset.path, version=version))

    def _find(self, name: str) -> DatasetView | None:
        if not is_dataset_name(name):
            return None
        path = dataset_directory(name)
        try:
            versions = [
                version
                for below in sorted(self._workspace.list_directories(path), key=version_order)
                if is_dataset_name(below) and (version := self._version_if_there(path, below)) and version.files
            ]
            unversioned = self._version(path, "")
        except FileMissingError:
            return None
        registration = unversioned.description
        if registration is not None and registration.source is None:
            registration = None
        if not versions and unversioned.files:
            versions = [unversioned]
        if not versions and registration is None:
            return None
        return DatasetView(name, path, tuple(versions), registration, unversioned.modified_at)

    def _version_if_there(self, dataset_path: str, name: str) -> VersionView | None:
        """Another request may remove a version while all are listed."""
        try:
            return self._version(dataset_path, name)
        except FileMissingError:
            return None

    def _version(self, dataset_path: str, name: str) -> VersionView:
        path = f"{dataset_path}/{name}" if name else dataset_path
        files = tuple(file for file in self._workspace.list_files(path) if file.name != DESCRIPTION_FILE)
        with self._workspace.directory(path) as descriptor:
            modified_at = datetime.fromtimestamp(os.fstat(descriptor).st_mtime, UTC)
        return VersionView(name, files, modified_at, self._description(path))

    def _description(self, path: str) -> DatasetDescription | None:
        try:
            content = self._workspace.read_file(f"{path}/{DESCRIPTION_FILE}", _MAX_DESCRIPTION_BYTES)
            description = DatasetDescription.model_validate_json(content)
        except (FileMissingError, ValidationError):
            return None
        if description.created_at is not None and description.created_at.tzinfo is None:
            return description.model_copy(update={"created_at": description.created_at.replace(tzinfo=UTC)})
        return description


def is_dataset_name(name: str) -> bool:
    """Whether a dataset or a version of one can be called so."""
    return re.fullmatch(DATASET_NAME_PATTERN, name) is not None and ".." not in name
