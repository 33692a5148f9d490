"""What goes wrong, in Merlina's words. Everything else has the core's words in Merlina's shape."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from fastapi import HTTPException
from starlette.responses import JSONResponse, Response

from fettle_api.dialects.merlina.translate import name_of_id
from fettle_api.dialects.merlina.wire import unprocessable
from fettle_api.errors import BodyError, JobNotFoundError


def render_error(status: int, detail: object, headers: Mapping[str, str]) -> Response:
    """Every error of this API: `{"detail": …}`."""
    return JSONResponse({"detail": detail}, status, dict(headers))


@contextmanager
def in_words_of_merlina() -> Iterator[None]:
    """Around a route that names a job, or takes a JSON body."""
    try:
        yield
    except JobNotFoundError:
        raise HTTPException(404, "Job not found") from None
    except BodyError as error:
        raise unprocessable([(("body",), f"JSON decode error: {error}", "json_invalid")]) from None


def resource_name(job_id: str) -> str:
    """The job's resource. Raises JobNotFoundError for what can be no id."""
    name = name_of_id(job_id)
    if name is None:
        raise JobNotFoundError(job_id)
    return name


def whole_number(query: Mapping[str, str], name: str, default: int, least: int = 0, most: int = 1_000_000_000) -> int:
    """A count of the query. Raises an HTTPException 422 for anything else."""
    text = query.get(name)
    if text is None or text == "":
        return default
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text):
        raise unprocessable([(("query", name), "Input should be a valid integer", "int_parsing")])
    value = int(text)
    if value < least:
        raise unprocessable(
            [(("query", name), f"Input should be greater than or equal to {least}", "greater_than_equal")]
        )
    return min(value, most)


def truth(query: Mapping[str, str], name: str) -> bool:
    """A switch of the query, off if absent. Raises an HTTPException 422 for anything else."""
    text = query.get(name, "").strip().lower()
    if text in ("", "false", "0", "off", "f", "n", "no"):
        return False
    if text in ("true", "1", "on", "t", "y", "yes"):
        return True
    raise unprocessable([(("query", name), "Input should be a valid boolean", "bool_parsing")])
