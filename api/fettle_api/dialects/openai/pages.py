"""Lists page by page, as OpenAI's cursors mean it: the items after the one that `after` names. Pure."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.datastructures import QueryParams

from fettle_api.dialects.openai.wire import RequestError

Item = TypeVar("Item")


@dataclass(frozen=True)
class PageRequest:
    """Which part of a list is wanted."""

    limit: int
    after: str | None = None


@dataclass(frozen=True)
class Bounds:
    """How many items a page has if the caller does not say, and at most."""

    default: int
    largest: int

    def query(self) -> dict[str, dict[str, Any]]:
        """For the OpenAPI document."""
        return {
            "after": {"type": "string"},
            "limit": {"type": "integer", "minimum": 1, "maximum": self.largest, "default": self.default},
        }


def page_request(query: QueryParams, bounds: Bounds) -> PageRequest:
    """Raises RequestError."""
    given = query.get("limit")
    if given is None or given == "":
        limit = bounds.default
    elif re.fullmatch(r"[0-9]{1,9}", given) is None:
        raise RequestError("Invalid type for 'limit': expected an integer.", "limit", "invalid_type")
    else:
        limit = int(given)
    if not 1 <= limit <= bounds.largest:
        message = f"Invalid 'limit': expected a value between 1 and {bounds.largest}, but got {limit}."
        raise RequestError(message, "limit", "invalid_value")
    return PageRequest(limit, query.get("after") or None)


def cut(items: Sequence[Item], wanted: PageRequest, id_of: Callable[[Item], str]) -> tuple[list[Item], bool]:
    """The page, and whether there are more. Raises RequestError for a cursor that names nothing in the list."""
    start = 0
    if wanted.after is not None:
        found = next((index for index, item in enumerate(items) if id_of(item) == wanted.after), None)
        if found is None:
            raise RequestError(f"Invalid 'after': there is no {wanted.after[:128]!r} in this list.", "after")
        start = found + 1
    end = start + wanted.limit
    return list(items[start:end]), end < len(items)


def list_of(items: list[dict[str, Any]], has_more: bool) -> dict[str, Any]:
    """The list object."""
    first, last = (items[0]["id"], items[-1]["id"]) if items else (None, None)
    return {"object": "list", "data": items, "first_id": first, "last_id": last, "has_more": has_more}
