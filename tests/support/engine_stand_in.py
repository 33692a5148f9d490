"""A stand-in of a serving engine's protocol on loopback: vLLM's routes for adapters, OpenAI's for chat. No model."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from tests.support.http_receiver import http_server

KEY = "key-of-the-engine"
BASE = "base"


@dataclass
class EngineStandIn:
    """What the engine has, and what was asked of it."""

    url: str = ""
    adapters: dict[str, str] = field(default_factory=dict)
    """Name → path."""
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    refusal: tuple[int, str] | None = None
    """Status and words for the next loads."""
    pieces: list[str] = field(default_factory=lambda: ["Hel", "lo"])
    """What a chat answers."""
    go_on: asyncio.Event = field(default_factory=asyncio.Event)
    """A stream waits for this after its first piece."""
    streams_ended: int = 0
    key: str | None = KEY
    """What callers must send."""
    list_calls: int = 0

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return web.json_response({"error": {"message": "Unauthorized"}}, status=401)
        body = json.loads(await request.read() or b"{}")
        if request.path == "/v1/models":
            self.list_calls += 1
            return web.json_response({"object": "list", "data": self._models()})
        self.calls.append((request.path, body))
        match request.path:
            case "/v1/load_lora_adapter":
                return self._load(body)
            case "/v1/unload_lora_adapter":
                return self._unload(body)
            case "/v1/chat/completions":
                return await self._chat(request, body)
        return web.json_response({"detail": "Not Found"}, status=404)

    def _models(self) -> list[dict[str, Any]]:
        base = {"id": BASE, "object": "model", "root": "models/base", "parent": None}
        return [base, *({"id": name, "root": path, "parent": BASE} for name, path in self.adapters.items())]

    def _load(self, body: dict[str, Any]) -> web.StreamResponse:
        if self.refusal is not None:
            status, words = self.refusal
            return web.json_response({"object": "error", "message": words, "code": status}, status=status)
        if body["lora_name"] in self.adapters and not body.get("load_inplace"):
            return web.json_response({"error": {"message": "has already been loaded"}}, status=400)
        self.adapters[body["lora_name"]] = body["lora_path"]
        return web.Response(text=f"Success: LoRA adapter '{body['lora_name']}' added successfully.")

    def _unload(self, body: dict[str, Any]) -> web.StreamResponse:
        if self.adapters.pop(body["lora_name"], None) is None:
            message = f"The lora adapter '{body['lora_name']}' cannot be found."
            return web.json_response({"error": {"message": message}}, status=404)
        return web.Response(text="Success")

    async def _chat(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        if body["model"] not in (BASE, *self.adapters):
            return web.json_response({"error": {"message": "The model does not exist."}}, status=404)
        if body.get("temperature") == -1:
            return web.json_response({"error": {"message": "temperature must be at least 0"}}, status=400)
        if body.get("stream"):
            return await self._stream(request, body)
        message = {"role": "assistant", "content": "".join(self.pieces)}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return web.json_response({"object": "chat.completion", "model": body["model"], "choices": [choice]})

    async def _stream(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await response.prepare(request)
        try:
            for piece in self.pieces:
                chunk = {"object": "chat.completion.chunk", "choices": [{"index": 0, "delta": {"content": piece}}]}
                await response.write(f"data: {json.dumps(chunk)}\n\n".encode())
                await self.go_on.wait()
            await response.write(b"data: [DONE]\n\n")
        finally:
            self.streams_ended += 1
        return response


@asynccontextmanager
async def engine_stand_in(
    host: str = "127.0.0.1", port: int = 0, key: str | None = KEY
) -> AsyncIterator[EngineStandIn]:
    """A running one; it wants `key`."""
    engine = EngineStandIn(key=key)
    async with http_server(engine.handle, port, host) as bound:
        engine.url = f"http://{host}:{bound}"
        yield engine
        engine.go_on.set()
