"""What goes wrong, in AINode's words. Everything else has the core's words in AINode's shape."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.ainode.translate import findings_of, name_of_id
from fettle_api.dialects.ainode.wire import ConfigError, RequestError
from fettle_api.errors import BodyError, DatasetNotFoundError, JobNotFoundError
from fettle_schema.errors import InvalidManifestError


def render_error(status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Every error of this API: `{"error": "…"}`."""
    return JSONResponse({"error": message}, status, dict(headers))


@contextmanager
def in_words_of_ainode(job_id: str = "") -> Iterator[None]:
    """Around a route that names a job, or takes a JSON body."""
    try:
        yield
    except JobNotFoundError:
        raise HTTPException(404, f"Job not found: {job_id}") from None
    except DatasetNotFoundError:
        raise HTTPException(404, "Dataset not found") from None
    except BodyError:
        raise HTTPException(400, "Invalid JSON body") from None
    except (ConfigError, RequestError) as error:
        raise HTTPException(400, str(error)) from None
    except InvalidManifestError as error:
        raise HTTPException(400, str(ConfigError(findings_of(error)))) from None


def resource_name(job_id: str) -> str:
    """The job's resource. Raises JobNotFoundError for what can be no id."""
    name = name_of_id(job_id)
    if name is None:
        raise JobNotFoundError(job_id)
    return name
