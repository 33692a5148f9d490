"""What the dialects see of datasets. Values only."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from fettle_api.resources.models import FileEntry
from fettle_schema.dataset import DatasetSource
from fettle_schema.stored_dataset import DatasetDescription


@dataclass(frozen=True)
class VersionView:
    """One version that lies in the workspace."""

    name: str
    """Empty for a dataset whose files lie there without a version."""
    files: tuple[FileEntry, ...]
    """Regular files, top level only, without `dataset.json`."""
    modified_at: datetime
    description: DatasetDescription | None = None

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def created_at(self) -> datetime:
        """When it was added."""
        known = self.description.created_at if self.description else None
        return known or self.modified_at


@dataclass(frozen=True)
class DatasetView:
    """A dataset with its versions, or a registered one, which has none."""

    name: str
    """Name of the directory: what a job refers to."""
    path: str
    """The same as a path inside the workspace."""
    versions: tuple[VersionView, ...]
    """The oldest first."""
    registration: DatasetDescription | None = None
    """What `datasets/<name>/dataset.json` says."""
    registered_at: datetime | None = None

    @property
    def newest(self) -> VersionView | None:
        """The version that a job reads that names none."""
        return self.versions[-1] if self.versions else None

    @property
    def description(self) -> DatasetDescription | None:
        """Of the registration, else of the newest version."""
        return self.registration or (self.newest.description if self.newest else None)

    @property
    def source(self) -> DatasetSource | None:
        """Where the rows of a registered dataset are."""
        return self.registration.source if self.registration else None

    @property
    def created_at(self) -> datetime | None:
        """When its newest version was added, or it was registered."""
        known = self.registration.created_at if self.registration else None
        return known or (self.newest.created_at if self.newest else self.registered_at)


@dataclass(frozen=True)
class DatasetPreview:
    """The first rows of a dataset."""

    columns: tuple[str, ...]
    rows: tuple[dict[str, Any], ...]
    """JSON values; long texts are cut."""
    formats: tuple[str, ...]
    """What the rows can be, best first."""
    findings: tuple[str, ...]
    """What is wrong with rows among the first."""


@dataclass(frozen=True)
class ModelTemplate:
    """The chat template that a base model brings."""

    text: str
    special_tokens: Mapping[str, str]
    """Name → text, for example `eos_token`."""


@dataclass(frozen=True)
class FormattedRow:
    """One example as it is trained on."""

    texts: Mapping[str, tuple[str, str]]
    """`text`, or `chosen` and `rejected` → what stands before the answer, and the answer."""


@dataclass(frozen=True)
class FormattedRows:
    """The first examples as a method trains on them."""

    method: str
    rows: tuple[FormattedRow, ...]
    findings: tuple[str, ...]
    """Rows that cannot be used."""
