"""What goes wrong, in this API's words. Everything else has the core's words in this API's shape."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.qlora.translate import finding_of
from fettle_api.dialects.qlora.wire import RequestError
from fettle_api.errors import (
    AdapterNotFoundError,
    BodyError,
    EngineRefusedError,
    JobFinishedError,
    JobNotFoundError,
    NothingLoadedError,
)
from fettle_schema.errors import InvalidManifestError


def render_error(status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Every error of this API: `{"error": "…"}`."""
    return JSONResponse({"error": message}, status, dict(headers))


@contextmanager
def in_words_of_qlora(job_id: str = "") -> Iterator[None]:
    """Around a route that names a job, or takes a JSON body."""
    try:
        yield
    except JobNotFoundError:
        raise HTTPException(404, f"Job {job_id} not found") from None
    except JobFinishedError:
        raise HTTPException(400, f"Job {job_id} cannot be cancelled: it has already ended") from None
    except BodyError:
        raise HTTPException(400, "Invalid JSON data") from None
    except RequestError as error:
        raise HTTPException(400, str(error)) from None
    except InvalidManifestError as error:
        raise HTTPException(400, finding_of(error)) from None


@contextmanager
def about_adapter(name: str, verb: str) -> Iterator[None]:
    """Around a route that does something to an adapter."""
    try:
        yield
    except AdapterNotFoundError:
        raise HTTPException(404, f"Adapter {name} not found") from None
    except NothingLoadedError:
        raise HTTPException(400, "No adapter currently loaded") from None
    except EngineRefusedError as error:
        raise HTTPException(400, f"Failed to {verb} adapter: {error}") from None
