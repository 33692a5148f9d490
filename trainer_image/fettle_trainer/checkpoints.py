"""Checkpoints that are whole or not there: a manifest with sizes and digests is written last and checked first.

transformers writes a checkpoint file by file and resumes from whatever it finds, silently with a fresh optimizer if
that file is missing. So only directories with a valid manifest count. Imports no torch.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle_schema.layout import CHECKPOINT_MANIFEST, CHECKPOINTS
from fettle_trainer.atomic_file import READABLE_BY_ALL, sync_directory, sync_file, write_json
from fettle_trainer.job_files import JobFiles

_NAME = re.compile(r"checkpoint-([0-9]{1,9})")
_VERSION = 1


class DamagedCheckpointError(Exception):
    """A checkpoint that cannot be trusted; the message names the file."""


@dataclass(frozen=True)
class CompleteCheckpoint:
    """A checkpoint whose files are all there and unchanged."""

    path: Path
    step: int
    tokens: int
    """Tokens trained on until then, over all attempts."""


def find_newest(files: JobFiles, warn: Callable[[str], None], only: str | None = None) -> CompleteCheckpoint | None:
    """The complete checkpoint with the most steps, of this attempt or an earlier one. Damaged ones are named.

    `only` leaves checkpoints of other names out of account.
    """
    for path in sorted(_candidates(files), key=_rank, reverse=True):
        if only is not None and path.name != only:
            continue
        try:
            return verify(path)
        except DamagedCheckpointError as damage:
            warn(f"{files.inside(path)} is not used: {damage}")
    return None


def verify(path: Path) -> CompleteCheckpoint:
    """Check the sizes and digests of all files; DamagedCheckpointError names the first that is wrong."""
    manifest = _read_manifest(path)
    try:
        for name, expected in manifest["files"].items():
            _verify_file(path / name, name, int(expected["size"]), expected["sha256"])
        return CompleteCheckpoint(path, int(manifest["step"]), int(manifest["tokens"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedCheckpointError(f"{CHECKPOINT_MANIFEST} is not a manifest of this version") from error


def complete(path: Path, step: int, tokens: int, eval_loss: float | None = None) -> None:
    """Make the files of a checkpoint durable and readable, then say so in its manifest.

    `eval_loss` is what was measured at this very step.
    """
    files = {}
    for file in sorted(file for file in path.rglob("*") if file.is_file() and file.name != CHECKPOINT_MANIFEST):
        file.chmod(READABLE_BY_ALL)
        sync_file(file)
        files[file.relative_to(path).as_posix()] = {"size": file.stat().st_size, "sha256": digest_of(file)}
    sync_directory(path)
    facts = {"version": _VERSION, "step": step, "tokens": tokens, "evalLoss": eval_loss, "files": files}
    write_json(path / CHECKPOINT_MANIFEST, facts)
    sync_directory(path.parent)


def prune(directory: Path, keep_last: int) -> None:
    """After a new one is complete: remove all but the newest, and the one with the lowest evaluation loss."""
    found = sorted(_checkpoints_in(directory), key=_rank, reverse=True)
    best = _best(found)
    for path in found[keep_last:]:
        if path == best:
            continue
        # The manifest first: what is half removed must not look complete.
        (path / CHECKPOINT_MANIFEST).unlink(missing_ok=True)
        shutil.rmtree(path, ignore_errors=True)


def remove_unfinished(directory: Path) -> None:
    """Remove what a run that was killed in the same attempt left without a manifest."""
    for path in _checkpoints_in(directory):
        if not (path / CHECKPOINT_MANIFEST).exists():
            shutil.rmtree(path, ignore_errors=True)


def digest_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _best(paths: list[Path]) -> Path | None:
    losses = {}
    for path in paths:
        with suppress(DamagedCheckpointError):
            loss = _read_manifest(path).get("evalLoss")
            if isinstance(loss, int | float):
                losses[path] = loss
    return min(losses, key=lambda path: losses[path]) if losses else None


def names_of(files: JobFiles) -> list[str]:
    """All checkpoints, whole or not, by step."""
    names = {path.name for path in _candidates(files)}
    return sorted(names, key=lambda name: int(name.rpartition("-")[2]))


def _candidates(files: JobFiles) -> list[Path]:
    attempts = [path for path in _entries(files.attempts) if path.name.isdigit() and int(path.name) <= files.attempt]
    return [path for attempt in attempts for path in _checkpoints_in(attempt / CHECKPOINTS)]


def _checkpoints_in(directory: Path) -> list[Path]:
    return [path for path in _entries(directory) if _NAME.fullmatch(path.name)]


def _entries(directory: Path) -> list[Path]:
    return [Path(entry.path) for entry in os.scandir(directory) if entry.is_dir()] if directory.is_dir() else []


def _rank(path: Path) -> tuple[int, int]:
    """Step, then attempt."""
    match = _NAME.fullmatch(path.name)
    attempt = path.parent.parent.name
    return int(match.group(1)) if match else -1, int(attempt) if attempt.isdigit() else 0


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / CHECKPOINT_MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DamagedCheckpointError(f"{CHECKPOINT_MANIFEST} is missing, so it was never completed") from error
    except (OSError, ValueError) as error:
        raise DamagedCheckpointError(f"{CHECKPOINT_MANIFEST} cannot be read") from error
    if not isinstance(manifest, dict) or manifest.get("version") != _VERSION or not manifest.get("files"):
        raise DamagedCheckpointError(f"{CHECKPOINT_MANIFEST} is not a manifest of this version")
    return manifest


def _verify_file(path: Path, name: str, size: int, sha256: str) -> None:
    if not path.is_file():
        raise DamagedCheckpointError(f"{name} is missing")
    found = path.stat().st_size
    if found != size:
        raise DamagedCheckpointError(f"{name} has {found} bytes instead of {size}")
    if digest_of(path) != sha256:
        raise DamagedCheckpointError(f"{name} has changed since it was written")
