"""The edge to serving engines: vLLM's routes by which adapters come and go. Holds no rules and no cache.

An engine's address comes from a pod, so nothing it says is followed: no redirect, no proxy, bounded answers.
"""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import aiohttp

from fettle_schema.errors import FettleError

_LIST_SECONDS = 10.0
_CHANGE_SECONDS = 120.0
_CONNECT_SECONDS = 3.0
_MAX_BYTES = 4 * 1024 * 1024
_MAX_WORDS = 2000
_HINT = "vLLM has it with --enable-lora and VLLM_ALLOW_RUNTIME_LORA_UPDATING=True"


class EngineCallError(FettleError):
    """An engine did not do what it was asked."""

    code = "EngineCallFailed"


class EngineRefusesError(EngineCallError):
    """It answered, in these words, that it does not."""

    code = "EngineRefuses"


class EngineSilentError(EngineCallError):
    """It cannot be reached, is not well, or does not let us in: try later."""

    code = "EngineSilent"


class EngineFailedError(EngineSilentError):
    """It tried and failed, in these words: what vLLM answers to an adapter that it cannot load (500)."""

    code = "EngineFailed"


class EngineClient:
    """Calls to any number of engines."""

    def __init__(self) -> None:
        self._session: aiohttp.ClientSession | None = None

    async def models(self, url: str, key: str | None) -> list[dict[str, Any]]:
        """What `GET /v1/models` lists. Raises EngineSilentError."""
        status, content = await self._call("GET", f"{url}/v1/models", key, None, _LIST_SECONDS)
        if status != 200:
            raise EngineSilentError(f"the engine answers {status} for its models: {words_of(content)}")
        try:
            return [dict(model) for model in json.loads(content)["data"]]
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            raise EngineSilentError("the engine's list of models cannot be read") from error

    async def load(self, url: str, key: str | None, name: str, path: str, *, replaces: bool) -> None:
        """Load an adapter; with `replaces`, in place of what is under the name. Raises EngineCallError."""
        body = {"lora_name": name, "lora_path": path, **({"load_inplace": True} if replaces else {})}
        await self._change(url, "/v1/load_lora_adapter", key, body, accepted=(200,))

    async def unload(self, url: str, key: str | None, name: str) -> None:
        """An adapter that is not there is no error. Raises EngineCallError."""
        await self._change(url, "/v1/unload_lora_adapter", key, {"lora_name": name}, accepted=(200, 404))

    async def close(self) -> None:
        """Release connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _change(
        self, url: str, path: str, key: str | None, body: Mapping[str, Any], accepted: tuple[int, ...]
    ) -> None:
        status, content = await self._call("POST", f"{url}{path}", key, body, _CHANGE_SECONDS)
        words = words_of(content)
        if status == 404 and words in ("", "Not Found"):
            raise EngineRefusesError(f"the engine has no {path}; {_HINT}")
        if status in accepted:
            return
        if status in (401, 403):
            raise EngineSilentError(f"the engine answers {status}: {words}")
        if status >= 500:
            raise EngineFailedError(f"the engine answers {status}: {words}")
        raise EngineRefusesError(words or f"the engine answers {status}")

    async def _call(
        self, method: str, url: str, key: str | None, body: Mapping[str, Any] | None, seconds: float
    ) -> tuple[int, bytes]:
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        limits = aiohttp.ClientTimeout(total=seconds, connect=_CONNECT_SECONDS)
        try:
            async with self._response(method, url, headers, body, limits) as response:
                content = await response.content.read(_MAX_BYTES + 1)
                while not response.content.at_eof() and len(content) <= _MAX_BYTES:
                    content += await response.content.read(_MAX_BYTES + 1 - len(content))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise EngineSilentError(f"the engine cannot be reached: {type(error).__name__}") from error
        if len(content) > _MAX_BYTES:
            raise EngineSilentError(f"the engine answers more than {_MAX_BYTES} bytes")
        return response.status, content

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        url: str,
        headers: dict[str, str],
        body: Mapping[str, Any] | None,
        limits: aiohttp.ClientTimeout,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        if self._session is None:
            self._session = aiohttp.ClientSession(trust_env=False, cookie_jar=aiohttp.DummyCookieJar())
        async with self._session.request(
            method, url, json=body, headers=headers, timeout=limits, allow_redirects=False
        ) as response:
            yield response


def words_of(content: bytes) -> str:
    """What an error's body says, in OpenAI's or vLLM's older shape, or as plain text."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return content.decode("utf-8", "replace").strip()[:_MAX_WORDS]
    inner = value.get("error", value) if isinstance(value, dict) else value
    if isinstance(inner, dict):
        inner = inner.get("message") or inner.get("detail") or ""
    return str(inner)[:_MAX_WORDS]
