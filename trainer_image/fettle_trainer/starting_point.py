"""What `spec.startFrom` names: a published adapter, or a checkpoint of another job. Imports no torch."""

from collections.abc import Callable
from pathlib import Path

from fettle_schema.layout import ADAPTER_CONFIG_FILE
from fettle_schema.run import RunStart
from fettle_trainer.checkpoints import CompleteCheckpoint, find_newest, names_of
from fettle_trainer.failures import configuration_failure
from fettle_trainer.job_files import JobFiles, job_files

_EVERY_ATTEMPT = 10**9


def published_adapter(workspace: Path, path: str) -> Path:
    """Directory of the adapter at `path` inside the workspace; TrainerFailure (64) if none is there."""
    directory = workspace / path
    if ".." in Path(path).parts or not (directory / ADAPTER_CONFIG_FILE).is_file():
        raise configuration_failure(
            "spec.startFrom.adapter", f"{path!r} holds no {ADAPTER_CONFIG_FILE}", "Name an Adapter that is Available."
        )
    return directory


def other_job(workspace: Path, directory: str) -> JobFiles:
    """The files of all attempts of another job; TrainerFailure (64) if `directory` leaves the workspace."""
    try:
        return job_files(workspace, directory, _EVERY_ATTEMPT)
    except ValueError as error:
        raise configuration_failure("spec.startFrom.trainingJob", str(error)) from error


def find_named(other: JobFiles, checkpoint: str, warn: Callable[[str], None]) -> CompleteCheckpoint | None:
    """The complete checkpoint of that name, or the newest for `latest`; damaged ones are named."""
    return find_newest(other, warn, only=None if checkpoint == "latest" else checkpoint)


def find_start(files: JobFiles, start: RunStart | None, warn: Callable[[str], None]) -> CompleteCheckpoint | None:
    """Where training goes on: this job's own newest checkpoint, else the one of another job that `start` names.

    TrainerFailure (64) if that one does not exist or is damaged.
    """
    own = find_newest(files, warn)
    if own is not None or start is None or start.job_directory is None:
        return own
    other = other_job(files.workspace, start.job_directory)
    found = find_named(other, start.checkpoint, warn)
    if found is None:
        names = names_of(other)
        raise configuration_failure(
            "spec.startFrom.checkpoint",
            f"{start.job_directory} has no complete checkpoint {start.checkpoint!r}",
            f"It has {', '.join(names)}." if names else "It has none.",
        )
    return found
