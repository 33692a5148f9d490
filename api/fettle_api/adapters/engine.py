"""The edge to a serving engine: vLLM's routes for adapters, OpenAI's for answers. Its address is the installation's."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from fettle_api.errors import BodyError, EngineRefusedError, EngineUnavailableError
from fettle_api.web.body import parse_json
from fettle_client.engine import words_of

_ADMIN_SECONDS = 120.0
_LIST_SECONDS = 10.0
_CONNECT_SECONDS = 10.0
_MAX_BYTES = 16 * 1024 * 1024
_HINT = "vLLM has it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"


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


class ServingEngine:
    """One engine."""

    def __init__(self, url: str, key: str | None = None) -> None:
        self._url = url.rstrip("/").removesuffix("/v1")
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    async def adapters(self) -> dict[str, str]:
        """What is loaded: name → path. Raises EngineUnavailableError."""
        async with self._request("GET", "/v1/models", None, _LIST_SECONDS) as answer:
            content = await answer.content()
            if answer.status != 200:
                raise EngineUnavailableError(f"the serving engine answers {answer.status} for its models")
        return _adapters_of(content)

    async def load(self, name: str, path: str) -> None:
        """Raises EngineRefusedError with the engine's words, EngineUnavailableError."""
        await self._admin("/v1/load_lora_adapter", {"lora_name": name, "lora_path": path})

    async def unload(self, name: str) -> None:
        """An adapter that is not loaded is no error. Raises EngineRefusedError, EngineUnavailableError."""
        await self._admin("/v1/unload_lora_adapter", {"lora_name": name}, accepted=(200, 404))

    @asynccontextmanager
    async def chat(self, body: Mapping[str, Any]) -> AsyncIterator[EngineAnswer]:
        """The answer to a request for a chat completion, whatever its status. Raises EngineUnavailableError."""
        async with self._request("POST", "/v1/chat/completions", body, None) as answer:
            yield answer

    async def _admin(self, path: str, body: Mapping[str, Any], accepted: tuple[int, ...] = (200,)) -> None:
        async with self._request("POST", path, body, _ADMIN_SECONDS) as answer:
            words = words_of(await answer.content())
        if answer.status == 404 and words in ("", "Not Found"):
            raise EngineRefusedError(f"the serving engine has no {path}; {_HINT}")
        if answer.status in accepted:
            return
        if answer.status in (401, 403) or answer.status >= 500:
            raise EngineUnavailableError(f"the serving engine answers {answer.status}: {words}")
        raise EngineRefusedError(words or f"the serving engine answers {answer.status}")

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, body: Mapping[str, Any] | None, seconds: float | None
    ) -> AsyncIterator[EngineAnswer]:
        timeout = aiohttp.ClientTimeout(total=seconds, connect=_CONNECT_SECONDS)
        content = None if body is None else json.dumps(body).encode()
        headers = {**self._headers, "Content-Type": "application/json"}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, trust_env=False) as session,
                session.request(
                    method, f"{self._url}{path}", data=content, headers=headers, allow_redirects=False
                ) as response,
            ):
                yield EngineAnswer(response.status, response.content_type, response)
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineUnavailableError(f"the serving engine cannot be reached: {type(error).__name__}") from error


def _adapters_of(content: bytes) -> dict[str, str]:
    """Models that have a parent; `root` is the path."""
    try:
        listed = parse_json(content)["data"]
        return {str(model["id"]): str(model.get("root") or "") for model in listed if model.get("parent")}
    except (BodyError, TypeError, KeyError, AttributeError) as error:
        raise EngineUnavailableError("the serving engine's list of models cannot be read") from error
