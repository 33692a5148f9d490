"""What goes wrong, in this API's words. Everything else has the core's words in this API's shape."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.cluster.translate import findings_of
from fettle_api.dialects.cluster.wire import Finding, RequestError, finding
from fettle_api.errors import BodyError, JobFinishedError, JobNotFoundError, UrlError
from fettle_schema.errors import InvalidManifestError


def render_error(status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Every error of this API: `{"detail": …}`."""
    return JSONResponse({"detail": message}, status, dict(headers))


def unprocessable(findings: list[Finding]) -> Response:
    """A request that is not valid, as FastAPI answers it."""
    return JSONResponse({"detail": findings}, 422)


@contextmanager
def as_request_error() -> Iterator[None]:
    """Around what reads and judges a request: all that is wrong with it is a RequestError."""
    try:
        yield
    except BodyError as error:
        raise RequestError([finding("", f"JSON decode error: {error}", "json_invalid")]) from None
    except UrlError as error:
        raise RequestError([finding("webhook_url", str(error))]) from None
    except InvalidManifestError as error:
        raise RequestError(findings_of(error)) from None


@contextmanager
def in_words_of_cluster(job_id: str) -> Iterator[None]:
    """Around a route that names a job."""
    try:
        yield
    except JobNotFoundError:
        raise HTTPException(404, f"Job {job_id} not found") from None
    except JobFinishedError:
        raise HTTPException(400, f"Job {job_id} has already ended and cannot be cancelled") from None
