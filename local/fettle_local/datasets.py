"""`datasets/<name>/<version>/` of the workspace: where `fettle datasets add` puts a copy of what it is given."""

import hashlib
import json
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from fettle_schema.errors import FettleError
from fettle_schema.layout import DATASETS

DATASET_NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}"
DESCRIPTION_FILE = "dataset.json"


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
    root, directory = source if source.is_dir() else source.parent, workspace / DATASETS / name
    digest = _digest(root, files)
    newest = max(_numbers(directory), default=0)
    if newest and _stored_digest(directory / f"v{newest}") == digest:
        return StoredDataset(name, f"v{newest}", directory / f"v{newest}")
    target = directory / f"v{newest + 1}"
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=directory, prefix=".adding-") as partial:
        copy = Path(partial, "copy")
        for path in files:
            place = copy / (path.relative_to(root) if source.is_dir() else f"data{path.suffix}")
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        (copy / DESCRIPTION_FILE).write_text(json.dumps({"name": name, "digest": digest}) + "\n")
        copy.rename(target)
    return StoredDataset(name, target.name, target, is_new=True)


def list_datasets(workspace: Path) -> list[StoredDataset]:
    """All versions of all datasets."""
    found = []
    for directory in sorted((workspace / DATASETS).glob("*/*")):
        if directory.is_dir() and not directory.name.startswith("."):
            found.append(StoredDataset(directory.parent.name, directory.name, directory))
    return found


def _numbers(directory: Path) -> list[int]:
    return [int(path.name[1:]) for path in directory.glob("v*") if path.name[1:].isdigit()]


def _stored_digest(version: Path) -> str | None:
    try:
        digest: str | None = json.loads((version / DESCRIPTION_FILE).read_text()).get("digest")
    except (FileNotFoundError, ValueError):
        return None
    return digest


def _digest(root: Path, files: list[Path]) -> str:
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(root)}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return f"sha256:{digest.hexdigest()}"
