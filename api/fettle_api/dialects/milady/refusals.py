"""What goes wrong, in Milady's words. Everything else has the core's words in Milady's shape."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.milady.translate import findings_of, is_job_id, name_of_model_id
from fettle_api.dialects.milady.wire import RequestError
from fettle_api.errors import JobNotFoundError, JobRunningError, RemoteError, TrajectoryNotFoundError
from fettle_schema.errors import InvalidManifestError


def render_error(status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Every error of this API: `{"error": "…"}`."""
    return JSONResponse({"error": message}, status, dict(headers))


@contextmanager
def in_words_of_milady(missing: str = "Training job not found") -> Iterator[None]:
    """Around a route that names something, or takes a body."""
    try:
        yield
    except JobNotFoundError:
        raise HTTPException(404, missing) from None
    except TrajectoryNotFoundError:
        raise HTTPException(404, "Trajectory not found") from None
    except JobRunningError as error:
        raise HTTPException(400, f"A training job is already running ({error.job_name})") from None
    except RemoteError as error:
        raise HTTPException(502, f"{error}; is Ollama running there?") from None
    except RequestError as error:
        raise HTTPException(400, str(error)) from None
    except InvalidManifestError as error:
        raise HTTPException(400, "; ".join(findings_of(error))) from None


def job_name(job_id: str) -> str:
    """The job's resource. Raises JobNotFoundError for what can be no id."""
    if not is_job_id(job_id):
        raise JobNotFoundError(job_id)
    return job_id


def model_job_name(model_id: str) -> str:
    """The resource of the job that made a model. Raises JobNotFoundError for what can be no id."""
    name = name_of_model_id(model_id)
    if name is None:
        raise JobNotFoundError(model_id)
    return name
