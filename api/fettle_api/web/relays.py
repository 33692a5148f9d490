"""An answer of another server, passed on piece by piece."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class RelayedStream(StreamingResponse):
    """Gives up the other server's answer however this one ends, also when the caller went away."""

    def __init__(self, chunks: AsyncIterator[bytes], media_type: str, held: AsyncExitStack) -> None:
        super().__init__(chunks, media_type=media_type, headers={"Cache-Control": "no-cache"})
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)
