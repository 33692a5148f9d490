"""What goes wrong, in OpenAI's words and shape: `{"error": {"message", "type", "param", "code"}}`."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.openai.translate import name_of_id, param_of_path
from fettle_api.dialects.openai.wire import RequestError
from fettle_api.errors import (
    BodyError,
    DatasetNotFoundError,
    DatasetRefusedError,
    JobFinishedError,
    JobNotFoundError,
)
from fettle_schema.errors import InvalidManifestError

_CODES = {401: "invalid_api_key", 403: "insufficient_permissions", 429: "rate_limit_exceeded"}
_MAX_QUOTED = 128


class Words(str):
    """A message that knows its `param` and its `code`; the framework hands it on as text."""

    param: str | None
    code: str | None

    def __new__(cls, message: str, param: str | None = None, code: str | None = None) -> "Words":
        words = super().__new__(cls, message)
        words.param, words.code = param, code
        return words


def render_error(status: int, message: str, headers: Mapping[str, str]) -> Response:
    """Every error of this API."""
    words = message if isinstance(message, Words) else Words(message, None, _CODES.get(status))
    kind = "invalid_request_error" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    error = {"message": str(words), "type": kind, "param": words.param, "code": words.code}
    return JSONResponse({"error": error}, status, dict(headers))


def refusal(status: int, message: str, param: str | None = None, code: str | None = None) -> HTTPException:
    """An error of this API, to be raised."""
    return HTTPException(status, Words(message, param, code))


def no_such_model(model: str) -> HTTPException:
    """For a name that means nothing here."""
    return refusal(404, f"The model '{model[:_MAX_QUOTED]}' does not exist", "model", "model_not_found")


@contextmanager
def in_words_of_openai(identifier: str = "") -> Iterator[None]:
    """Around a route that names a job, a file or a model, or takes a JSON body."""
    quoted = identifier[:_MAX_QUOTED]
    try:
        yield
    except JobNotFoundError:
        raise refusal(404, f"Could not find fine tune: {quoted}", "fine_tune_id", "fine_tune_not_found") from None
    except JobFinishedError:
        raise refusal(400, f"Job has already ended: {quoted}", None, "job_already_ended") from None
    except DatasetNotFoundError:
        raise refusal(404, f"No such File object: {quoted}", "id") from None
    except DatasetRefusedError as error:
        raise refusal(400, f"Invalid file format: {error}", "file", "invalid_file_format") from None
    except RequestError as error:
        raise refusal(400, str(error), error.param, error.code) from None
    except BodyError as error:
        raise refusal(400, f"We could not parse the body of your request: {error}", None, "invalid_body") from None
    except InvalidManifestError as error:
        finding = error.errors[0]
        words = "; ".join(one.message for one in error.errors)
        raise refusal(400, words, param_of_path(finding.path), "invalid_value") from None


def resource_name(job_id: str) -> str:
    """The job's resource. Raises JobNotFoundError for what can be no id."""
    name = name_of_id(job_id)
    if name is None:
        raise JobNotFoundError(job_id)
    return name
