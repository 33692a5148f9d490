"""A dataset in the workspace: `datasets/<name>/<version>/` with `dataset.json` beside the data. Touches no file.

`fettle datasets add` and the facade write this; readers need only the path. A dataset that is not here but on the hub,
or elsewhere in the workspace, is registered: `datasets/<name>/dataset.json` says where its rows are.
"""

import hashlib
import re
from collections.abc import Iterable
from datetime import datetime

from fettle_schema.base import Model
from fettle_schema.dataset import DatasetSource
from fettle_schema.layout import DATASETS

DATASET_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
DESCRIPTION_FILE = "dataset.json"

_VERSION = re.compile(r"v([1-9][0-9]{0,8})")


class TrajectorySelection(Model):
    """Which trajectories a dataset was built from."""

    limit: int
    """At most this many trajectories, the newest ones."""
    min_llm_calls: int
    """Of those that have at least this many calls."""
    example_counts: list[int] = []
    """Examples of each trajectory that was taken, in the order of the rows: the newest trajectory first."""


class DatasetDescription(Model):
    """`dataset.json`. Everything but the name may be absent; a reader takes a broken file for none."""

    name: str
    """Name of the directory."""
    title: str | None = None
    """The name as somebody wrote it, where it could not be a directory's."""
    description: str | None = None
    """Words of whoever added it."""
    created_at: datetime | None = None
    """When it was added."""
    digest: str | None = None
    """Of the files, see `content_digest`."""
    file_name: str | None = None
    """What the uploaded file was called."""
    origin: str | None = None
    """`url` where the facade fetched it; the URL is not kept, it may hold a secret."""
    size_bytes: int | None = None
    """Of the data, without this file."""
    example_count: int | None = None
    """Rows, where they were counted."""
    trajectories: TrajectorySelection | None = None
    """Where the rows were built from trajectories."""
    source: DatasetSource | None = None
    """Where the rows of a registered dataset are; absent where they lie beside this file."""


def dataset_directory(name: str, version: str | None = None) -> str:
    """Path inside the workspace."""
    return f"{DATASETS}/{name}/{version}" if version else f"{DATASETS}/{name}"


def dataset_name(text: str) -> str:
    """A directory's name for free text: itself if it can be one, else cleaned and with six digits of its digest."""
    if re.fullmatch(DATASET_NAME_PATTERN, text) and ".." not in text:
        return text
    cleaned = re.sub(r"[^A-Za-z0-9_-]+", "-", text).strip("-_")[:56].rstrip("-_")
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{cleaned}-{digest}" if cleaned else f"dataset-{digest}"


def next_version(names: Iterable[str]) -> str:
    """The version after those that a dataset's directory holds: `v1`, `v2`, …"""
    return f"v{newest_number(names) + 1}"


def newest_number(names: Iterable[str]) -> int:
    """The highest of the versions `v1`, `v2`, …; 0 if there is none."""
    return max((int(match[1]) for match in map(_VERSION.fullmatch, names) if match), default=0)


def version_order(name: str) -> list[tuple[int, int, str]]:
    """Sort key of versions, the newest last: numbers in names compare as numbers (v1.10 after v1.9)."""
    parts = re.findall(r"\d+|\D+", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def content_digest(files: Iterable[tuple[str, bytes]]) -> str:
    """`sha256:<hex>` over (path below the version, SHA-256 of the content), in order of the paths."""
    digest = hashlib.sha256()
    for path, content in sorted(files):
        digest.update(f"{path}\0".encode())
        digest.update(content)
    return f"sha256:{digest.hexdigest()}"
