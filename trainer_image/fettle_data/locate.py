"""Which files a workspace source means, and opening them: confined to the workspace, regular files only."""

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

from fettle_data.findings import DatasetError, FindingCode, name_list
from fettle_schema.dataset import WorkspaceSource

EXTENSIONS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ".feather")
_FILE_STEMS = ("data", "train")
_SHARDED = (".jsonl", ".parquet", ".arrow")
"""Extensions of which a directory may hold several files, in the order in which they are looked for."""
_TRAIN = re.compile(r"^(.*[._-])?train([._-].*)?$")
_HELD_OUT = re.compile(r"^(test|valid|validation|val|eval|evaluation|dev|held-?out)([._-].*)?$")
_DATASET_FILE = "dataset.json"


def locate(source: WorkspaceSource, workspace: Path, field: str) -> list[Path]:
    """The files of a source, resolved, in the order in which they are read.

    A directory means its data.*, else its train.*, else all its *.jsonl, *.parquet or *.arrow, of which those with
    `train` in their name win where others are held out; without any of these, its newest version: the subdirectory
    whose name is last when numbers in names compare as numbers (v1.10 after v1.9). A file that cannot be read for a
    reason of the machine stays an OSError, because another attempt may succeed.
    """
    root = workspace.resolve()
    path = _confine(root / source.path, root, f"{field}.path", source.path)
    if source.version is not None:
        path = _confine(path / source.version, root, f"{field}.version", f"{source.path}/{source.version}")
    if not path.is_dir():
        return [path]
    try:
        files = _data_files(path, field) or _newest_version(path, root, field)
    except PermissionError as error:
        message = f"{field}.path: {source.path!r} cannot be read: {error.strerror}"
        raise DatasetError(FindingCode.UNREADABLE, message) from error
    if not files:
        message = f"{field}.path: {source.path!r} holds no dataset: it holds {name_list(_names(path))}"
        hint = f"Expected is data.jsonl, train.jsonl or another .jsonl file; also read are {', '.join(EXTENSIONS)}."
        raise DatasetError(FindingCode.NOT_FOUND, message, hint)
    return [_confine(file, root, f"{field}.path", str(file.relative_to(root))) for file in files]


def open_file(path: Path) -> BinaryIO:
    """Open a file that `locate` gave."""
    try:
        # Non-blocking, or opening a pipe waits for ever; no link, because the path is resolved already.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        raise DatasetError(FindingCode.UNREADABLE, f"{path.name}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DatasetError(FindingCode.UNREADABLE, f"{path.name}: this is not a regular file")
    return os.fdopen(descriptor, "rb")


def _confine(path: Path, root: Path, field: str, shown: str) -> Path:
    try:
        resolved = path.resolve(strict=True)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetError(FindingCode.NOT_FOUND, f"{field}: there is no {shown!r} in the workspace") from error
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
        raise DatasetError(FindingCode.UNREADABLE, f"{field}: {shown!r} cannot be read: {error}") from error
    if not resolved.is_relative_to(root):
        raise DatasetError(FindingCode.OUTSIDE_WORKSPACE, f"{field}: {shown!r} leads out of the workspace")
    return resolved


def _data_files(directory: Path, field: str) -> list[Path]:
    for stem in _FILE_STEMS:
        for extension in EXTENSIONS:
            if (directory / f"{stem}{extension}").is_file():
                return [directory / f"{stem}{extension}"]
    for extension in _SHARDED:
        if files := sorted(path for path in directory.iterdir() if path.suffix == extension and path.is_file()):
            return _without_held_out(files, field)
    return []


def _without_held_out(files: list[Path], field: str) -> list[Path]:
    """Files of one kind; those for training where their names tell."""
    if len(files) > 1 and any(_HELD_OUT.match(path.stem.lower()) for path in files):
        if train := [path for path in files if _TRAIN.match(path.stem.lower())]:
            return train
        message = f"{field}.path: the directory holds several files: {name_list(path.name for path in files)}"
        raise DatasetError(FindingCode.AMBIGUOUS_FILES, message)
    return files


def _newest_version(directory: Path, root: Path, field: str) -> list[Path]:
    if directory.parent == root:  # `datasets` itself holds datasets, not versions of one
        return []
    versions = sorted((path for path in directory.iterdir() if path.is_dir()), key=_natural_order, reverse=True)
    for version in versions:
        if version.name.startswith("."):
            continue
        resolved = _confine(version, root, f"{field}.path", str(version.relative_to(root)))
        if files := _data_files(resolved, field):
            return files
    return []


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    parts = re.findall(r"\d+|\D+", path.name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


def _names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir() if path.name != _DATASET_FILE)
