"""Errors of the facade, and which HTTP status each has. Bodies are the dialects' business."""

from collections.abc import Mapping

from fettle_client.protocol import AlreadyExistsError, ConflictError, InvalidError, NotFoundError, UnavailableError
from fettle_schema.errors import FettleError, InvalidManifestError


class JobNotFoundError(FettleError):
    """No such TrainingJob, confirmed at the API server."""

    code = "JobNotFound"

    def __init__(self, name: str) -> None:
        super().__init__(f"training job {name!r} not found")


class JobFinishedError(FettleError):
    """The job has ended already, or is being cancelled."""

    code = "JobFinished"


class FileMissingError(FettleError):
    """Nothing there that may be read: no file, no regular file, or reached through a symbolic link."""

    code = "FileMissing"


class FileNameError(FettleError):
    """A name that no file of ours can have."""

    code = "FileName"


class RangeError(FettleError):
    """No byte of the asked range exists."""

    code = "Range"

    def __init__(self, size_bytes: int) -> None:
        super().__init__(f"the file has {size_bytes} bytes; ask for a range inside")
        self.size_bytes = size_bytes


class BodyError(FettleError):
    """The request's body is not what it should be."""

    code = "Body"


class BodyTooLargeError(FettleError):
    """The request's body is larger than allowed."""

    code = "BodyTooLarge"


class NameTakenError(FettleError):
    """Something else has the place in the workspace already."""

    code = "NameTaken"


class StorageFullError(FettleError):
    """The workspace has no room left; nothing was kept of what was being written."""

    code = "StorageFull"


class DatasetNotFoundError(FettleError):
    """No such dataset, or no such version of it."""

    code = "DatasetNotFound"

    def __init__(self, name: str) -> None:
        super().__init__(f"dataset {name!r} not found")


class DatasetRefusedError(FettleError):
    """A dataset that cannot be added or shown; says why."""

    code = "DatasetRefused"


class AdapterNotFoundError(FettleError):
    """No such Adapter, confirmed at the API server."""

    code = "AdapterNotFound"

    def __init__(self, name: str) -> None:
        super().__init__(f"adapter {name!r} not found")


class NothingLoadedError(FettleError):
    """No adapter is loaded, and the request was for the one that is."""

    code = "NothingLoaded"


class NoEngineError(FettleError):
    """This installation has no serving engine."""

    code = "NoEngine"


class EngineRefusedError(FettleError):
    """The serving engine does not do what it was asked; says why in its words."""

    code = "EngineRefused"


class EngineUnavailableError(FettleError):
    """The serving engine cannot be reached, or failed."""

    code = "EngineUnavailable"


class TrajectoryNotFoundError(FettleError):
    """No such trajectory."""

    code = "TrajectoryNotFound"

    def __init__(self, trajectory_id: str) -> None:
        super().__init__(f"trajectory {trajectory_id[:128]!r} not found")


class DocumentNotFoundError(FettleError):
    """No such template or configuration."""

    code = "DocumentNotFound"


class CheckpointNotFoundError(FettleError):
    """The job has no such checkpoint."""

    code = "CheckpointNotFound"

    def __init__(self, message: str, available: list[str]) -> None:
        super().__init__(message)
        self.available = available


class JobStateError(FettleError):
    """What was asked needs the job in another phase."""

    code = "JobState"


class NothingToMergeError(FettleError):
    """The job published no adapter."""

    code = "NothingToMerge"


class JobRunningError(FettleError):
    """A job of this dialect is running, and the request was for the case that none is."""

    code = "JobRunning"

    def __init__(self, job_name: str) -> None:
        super().__init__(f"training job {job_name!r} is running")
        self.job_name = job_name


class BenchmarkRunningError(FettleError):
    """Scores are being made, and not there yet."""

    code = "BenchmarkRunning"


class BenchmarkFailedError(FettleError):
    """The model could not be scored; says why."""

    code = "BenchmarkFailed"


class ImportRefusedError(FettleError):
    """The model cannot be imported as it is; says why, and what to do."""

    code = "ImportRefused"


class IdempotencyKeyError(FettleError):
    """The Idempotency-Key cannot be one."""

    code = "IdempotencyKey"


class IdempotencyConflictError(FettleError):
    """The Idempotency-Key was used for another request."""

    code = "IdempotencyConflict"


class UrlError(FettleError):
    """A caller's URL that may not be called."""

    code = "Url"


class RemoteError(FettleError):
    """The server behind a caller's URL failed. Says nothing of its answer."""

    code = "Remote"


class OllamaRefusedError(FettleError):
    """Ollama does not take a model; in its own words."""

    code = "OllamaRefused"


class SlowFollowerError(FettleError):
    """Somebody who follows jobs does not read what happens, and is no longer told."""

    code = "SlowFollower"


class UnauthenticatedError(FettleError):
    """Nobody we know."""

    code = "Unauthorized"


class ForbiddenError(FettleError):
    """Somebody who may not, or a page that may not speak for them."""

    code = "Forbidden"


class NotReadyError(FettleError):
    """The cache has not been filled yet."""

    code = "NotReady"


_STATUS: Mapping[type[FettleError], int] = {
    JobNotFoundError: 404,
    FileMissingError: 404,
    JobFinishedError: 409,
    FileNameError: 400,
    RangeError: 416,
    BodyError: 400,
    BodyTooLargeError: 413,
    NameTakenError: 409,
    StorageFullError: 507,
    DatasetNotFoundError: 404,
    DatasetRefusedError: 400,
    AdapterNotFoundError: 404,
    NothingLoadedError: 400,
    NoEngineError: 503,
    EngineRefusedError: 400,
    EngineUnavailableError: 502,
    DocumentNotFoundError: 404,
    TrajectoryNotFoundError: 404,
    CheckpointNotFoundError: 404,
    JobStateError: 409,
    NothingToMergeError: 400,
    JobRunningError: 409,
    BenchmarkRunningError: 409,
    ImportRefusedError: 409,
    BenchmarkFailedError: 409,
    IdempotencyKeyError: 400,
    IdempotencyConflictError: 422,
    UrlError: 400,
    RemoteError: 502,
    OllamaRefusedError: 502,
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    NotReadyError: 503,
    InvalidManifestError: 400,
    InvalidError: 400,
    NotFoundError: 404,
    AlreadyExistsError: 409,
    ConflictError: 409,
    UnavailableError: 503,
}


def status_of(error: FettleError) -> int:
    """The HTTP status of an error; 500 for one that callers can do nothing about."""
    return next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)


def message_of(error: FettleError) -> str:
    """What a caller may read; nothing internal."""
    status = status_of(error)
    if status == 500:
        return "Internal server error"
    if isinstance(error, UnavailableError):
        return "The API server cannot be reached; try again later"
    return str(error)


def headers_of(error: FettleError) -> dict[str, str]:
    """Headers that belong to an error's answer."""
    if isinstance(error, UnauthenticatedError):
        return {"WWW-Authenticate": 'Bearer, Basic realm="fettle"'}
    if isinstance(error, RangeError):
        return {"Content-Range": f"bytes */{error.size_bytes}"}
    if status_of(error) == 503:
        return {"Retry-After": "2"}
    return {}
