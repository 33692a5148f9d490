"""`datasets/<name>/<version>/` of the workspace: where `fettle datasets add` puts a copy of what it is given."""

import hashlib
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from fettle_schema.errors import FettleError
from fettle_schema.layout import DATASETS
from fettle_schema.stored_dataset import (
    DATASET_NAME_PATTERN,
    DESCRIPTION_FILE,
    DatasetDescription,
    content_digest,
    dataset_directory,
    newest_number,
)


class DatasetError(FettleError):
    """A dataset cannot be added."""

    code = "DatasetError"


@dataclass(frozen=True)
class StoredDataset:
    """One version of a dataset in the workspace."""

    name: str
    version: str
    path: Path
    is_new: bool = False


def add_dataset(workspace: Path, name: str, source: Path) -> StoredDataset:
    """Copy a file or directory into the workspace as the next version; the same content again is no new version."""
    if not re.fullmatch(DATASET_NAME_PATTERN, name):
        raise DatasetError(f"dataset name {name!r}: letters, digits, '.', '_' and '-' are allowed")
    if not source.exists():
        raise DatasetError(f"{source}: no such file or directory")
    files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
    if not files:
        raise DatasetError(f"{source}: holds no file")
    places = {path: path.relative_to(source) if source.is_dir() else Path(f"data{path.suffix}") for path in files}
    digest = content_digest((place.as_posix(), _sha256(path)) for path, place in places.items())
    directory = workspace / dataset_directory(name)
    newest = newest_number(path.name for path in directory.glob("v*"))
    if newest and _stored_digest(directory / f"v{newest}") == digest:
        return StoredDataset(name, f"v{newest}", directory / f"v{newest}")
    target = directory / f"v{newest + 1}"
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".adding-") as partial:
        copy = Path(partial, "copy")
        for path, place in places.items():
            (copy / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy / place)
        description = DatasetDescription(
            name=name,
            created_at=datetime.now(UTC),
            digest=digest,
            file_name=source.name,
            size_bytes=sum(path.stat().st_size for path in files),
        )
        (copy / DESCRIPTION_FILE).write_text(json.dumps(description.manifest()) + "\n")
        copy.rename(target)
    return StoredDataset(name, target.name, target, is_new=True)


def list_datasets(workspace: Path) -> list[StoredDataset]:
    """All versions of all datasets."""
    found = []
    for directory in sorted((workspace / DATASETS).glob("[!.]*/[!.]*")):
        if directory.is_dir():
            found.append(StoredDataset(directory.parent.name, directory.name, directory))
    return found


def _stored_digest(version: Path) -> str | None:
    try:
        digest: str | None = json.loads((version / DESCRIPTION_FILE).read_text()).get("digest")
    except (FileNotFoundError, ValueError):
        return None
    return digest


def _sha256(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
