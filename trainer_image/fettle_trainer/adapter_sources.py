"""Where an adapter's files come from: the workspace, or a repository of the hub. Gives each its place once.

The workspace is read as hostile: nothing is followed out of it.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from fettle_schema.adapter import AdapterHubSource
from fettle_schema.artifact import ArtifactProblem, ArtifactRequest, ProblemReason
from fettle_schema.layout import (
    ADAPTER_CONFIG_FILE,
    ADAPTER_WEIGHTS_FILE,
    ADAPTERS,
    artifact_directory,
    is_artifact_directory,
)
from fettle_schema.reasons import Reason
from fettle_trainer.adapter_facts import InvalidFilesError, read_facts
from fettle_trainer.failures import TrainerFailure
from fettle_trainer.publish import ADAPTER_FILES, directory_digest, place_directory

Fetch = Callable[[AdapterHubSource], Path]
"""A repository's files on this machine. Raises ProblemError."""


class ProblemError(Exception):
    """The files cannot be used."""

    def __init__(self, reason: ProblemReason, message: str) -> None:
        super().__init__(message)
        self.problem = ArtifactProblem(reason=reason, message=message[:1500])


@dataclass(frozen=True)
class PlacedFiles:
    """Files at the place that their digest names."""

    path: str
    """Inside the workspace."""
    digest: str
    source: str | None = None
    """Where they were fetched from, with the commit."""


def place(request: ArtifactRequest, workspace: Path, fetch: Fetch) -> PlacedFiles:
    """Verify files that are at their place already, or copy them there. Raises ProblemError."""
    if request.hugging_face is not None:
        snapshot = fetch(request.hugging_face)
        placed = _copy(snapshot, request, workspace)
        return PlacedFiles(placed.path, placed.digest, f"{request.hugging_face.id}@{snapshot.name}")
    assert request.path is not None, "the operator sets one of both"
    directory = _inside(workspace, request.path)
    if is_artifact_directory(request.path, ADAPTERS):
        return PlacedFiles(request.path, _verified(directory, request.path, request.digest))
    return _copy(directory, request, workspace)


def fetch_from_hub(source: AdapterHubSource) -> Path:
    """The two files that make an adapter, in the cache of HF_HOME. Raises ProblemError."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

    subject = f"spec.source.huggingFace.id: {source.id!r}"
    files = [ADAPTER_CONFIG_FILE, ADAPTER_WEIGHTS_FILE]
    try:
        return Path(snapshot_download(source.id, revision=source.revision, allow_patterns=files))
    except RepositoryNotFoundError as error:  # gated ones too
        message = f"{subject} was not found on the hub, or is private or gated; check the spelling"
        raise ProblemError(Reason.HUB_UNAVAILABLE, message) from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        message = (
            f"{subject} (revision {source.revision or 'main'!r}) is not in the hub's cache (huggingface/hub), and the "
            "hub cannot be reached or has no such revision; put the files into the workspace and set "
            "spec.source.workspace, or allow the network"
        )
        raise ProblemError(Reason.HUB_UNAVAILABLE, message) from error


def _inside(workspace: Path, path: str) -> Path:
    directory = workspace / path
    if not directory.is_dir():
        raise ProblemError(Reason.FILES_MISSING, f"there is no directory {path!r} in the workspace")
    for file in (directory, *(directory / name for name in ADAPTER_FILES)):
        if file.exists() and not file.resolve().is_relative_to(workspace.resolve()):
            raise ProblemError(Reason.FILES_INVALID, f"{path!r} holds a link that leads out of the workspace")
    return directory


def _verified(directory: Path, path: str, digest: str | None) -> str:
    found = directory_digest(directory)
    wanted = digest or found
    if found != wanted or artifact_directory(ADAPTERS, directory.parent.name, found) != path:
        message = (
            f"the files in {path!r} have the digest {found}, not {digest or directory.name}: they were changed after "
            "publishing; put the right ones back, or make a new version"
        )
        raise ProblemError(Reason.DIGEST_MISMATCH, message)
    return found


def _copy(source: Path, request: ArtifactRequest, workspace: Path) -> PlacedFiles:
    def write(directory: Path) -> None:
        for name in ADAPTER_FILES:
            if (source / name).is_file():
                shutil.copyfile(source / name, directory / name)
        read_facts(directory)

    try:
        placed = place_directory(write, workspace, ADAPTERS, request.name, request.uid)
    except InvalidFilesError as error:
        raise ProblemError(Reason.FILES_INVALID, str(error)) from error
    except TrainerFailure as failure:
        raise ProblemError(Reason.DIGEST_MISMATCH, f"{failure.message}. {failure.hint}") from failure
    if request.digest is not None and placed.digest != request.digest:
        message = (
            f"spec.digest is {request.digest}, the files have {placed.digest}; correct spec.digest, or leave it out"
        )
        raise ProblemError(Reason.DIGEST_MISMATCH, message)
    return PlacedFiles(placed.path, placed.digest)
