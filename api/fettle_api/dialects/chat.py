"""A chat that the serving engine answers, for every dialect that has one."""

from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from typing import Any

from starlette.exceptions import HTTPException
from starlette.responses import Response

from fettle_api.adapters.engine import EngineAnswer
from fettle_api.adapters.serving import Serving
from fettle_api.adapters.views import AdapterView
from fettle_api.web.relays import RelayedStream
from fettle_client.engine import words_of

Refuse = Callable[[int, str], HTTPException]
"""An error of the dialect, from a status and words."""


async def relay_chat(
    serving: Serving, adapter: AdapterView, body: Mapping[str, Any], statuses: Collection[int], refuse: Refuse
) -> Response:
    """The engine's answer, streamed if it is; an error in the dialect's shape with one of `statuses`.

    Raises NoEngineError, EngineRefusedError, EngineUnavailableError, and what `refuse` makes.
    """
    async with AsyncExitStack() as stack:
        answer = await stack.enter_async_context(serving.chat(adapter, body))
        if answer.status != 200:
            raise await _refusal(answer, statuses, refuse)
        if answer.media_type == "text/event-stream":
            return RelayedStream(answer.chunks(), answer.media_type, stack.pop_all())
        return Response(await answer.content(), media_type="application/json")


async def _refusal(answer: EngineAnswer, statuses: Collection[int], refuse: Refuse) -> HTTPException:
    """The engine's words; a status that the dialect does not have becomes the nearest."""
    words = words_of(await answer.content()) or f"the serving engine answers {answer.status}"
    if answer.status >= 500:
        return refuse(503 if answer.status == 503 else 502, words)
    return refuse(answer.status if answer.status in statuses else 400, words)
