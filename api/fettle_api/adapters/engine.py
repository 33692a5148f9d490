"""The edge to a serving engine: vLLM's routes for adapters, OpenAI's for answers. Its address is the installation's."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import aiohttp

from fettle_api.errors import EngineRefusedError, EngineUnavailableError
from fettle_client.engine import EngineClient, EngineRefusesError, EngineSilentError

_CONNECT_SECONDS = 10.0
_MAX_BYTES = 16 * 1024 * 1024


@dataclass(frozen=True)
class EngineAnswer:
    """An answer that has begun: its head, and the rest as it comes."""

    status: int
    media_type: str
    _response: aiohttp.ClientResponse

    async def content(self) -> bytes:
        """All of it. Raises EngineUnavailableError."""
        content = bytearray()
        async for chunk in self.chunks():
            content += chunk
            if len(content) > _MAX_BYTES:
                raise EngineUnavailableError(f"the serving engine answers more than {_MAX_BYTES} bytes")
        return bytes(content)

    async def chunks(self) -> AsyncIterator[bytes]:
        """Piece by piece, each as soon as it is there. Raises EngineUnavailableError."""
        try:
            async for chunk in self._response.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineUnavailableError(f"the serving engine broke off: {type(error).__name__}") from error


class Engine(Protocol):
    """What answers with adapters."""

    @property
    def is_running(self) -> bool:
        """False only for an engine of our own that is started when it is needed."""
        ...

    async def adapters(self) -> dict[str, str]:
        """What is loaded: name → path. Raises EngineUnavailableError."""
        ...

    async def load(self, name: str, path: str) -> None:
        """Raises EngineRefusedError with the engine's words, EngineUnavailableError."""
        ...

    async def unload(self, name: str) -> None:
        """An adapter that is not loaded is no error. Raises EngineRefusedError, EngineUnavailableError."""
        ...

    def chat(self, body: Mapping[str, Any]) -> AbstractAsyncContextManager[EngineAnswer]:
        """The answer to a request for a chat completion, whatever its status. Raises EngineUnavailableError."""
        ...


class ServingEngine:
    """One engine, by its address."""

    is_running = True

    def __init__(self, url: str, key: str | None = None) -> None:
        self._url = url.rstrip("/").removesuffix("/v1")
        self._key = key

    async def adapters(self) -> dict[str, str]:
        async with self._calls() as engine:
            models = await engine.models(self._url, self._key)
        try:
            return {str(model["id"]): str(model.get("root") or "") for model in models if model.get("parent")}
        except KeyError as error:
            raise EngineUnavailableError("the engine's list of models cannot be read") from error

    async def load(self, name: str, path: str) -> None:
        async with self._calls() as engine:
            await engine.load(self._url, self._key, name, path, replaces=False)

    async def unload(self, name: str) -> None:
        async with self._calls() as engine:
            await engine.unload(self._url, self._key, name)

    @asynccontextmanager
    async def chat(self, body: Mapping[str, Any]) -> AsyncIterator[EngineAnswer]:
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECT_SECONDS)
        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.post(
                    f"{self._url}/v1/chat/completions",
                    data=json.dumps(body).encode(),
                    headers={**headers, "Content-Type": "application/json"},
                    allow_redirects=False,
                ) as response,
            ):
                yield EngineAnswer(response.status, response.content_type, response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineUnavailableError(f"the serving engine cannot be reached: {type(error).__name__}") from error

    @asynccontextmanager
    async def _calls(self) -> AsyncIterator[EngineClient]:
        """The engine's routes for adapters, with our errors."""
        engine = EngineClient()
        try:
            yield engine
        except EngineRefusesError as error:
            raise EngineRefusedError(str(error)) from error
        except EngineSilentError as error:
            raise EngineUnavailableError(str(error)) from error
        finally:
            await engine.close()
