"""A small Ollama: speaks what version 0.17 says about blobs, `create` and `show`, and refuses what that refuses.

Read from its source and seen of the real server: a wrong digest is a 400; what goes wrong while a model is made is told
inside the stream of a 200; adapters are converted for Llama and Gemma 2 only.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

_NAME = re.compile(r"(?:[\w.-]{1,80}/){0,2}[\w][\w.-]{0,79}(?::[\w][\w.-]{0,79})?")
_MODELS = {"LlamaForCausalLM": "llama", "Gemma2ForCausalLM": "gemma2", "Qwen2ForCausalLM": "qwen2"}
_ADAPTERS = ("llama", "gemma2")


class _CreateError(Exception):
    """What is told inside the stream."""


@dataclass
class StoredModel:
    """A model that was made."""

    architecture: str
    files: dict[str, bytes]
    adapters: dict[str, bytes]
    template: str | None = None
    parameters: dict[str, Any] = field(default_factory=dict)


class OllamaStandIn:
    """The state behind the server."""

    def __init__(self) -> None:
        self.url = ""
        self.blobs: dict[str, bytes] = {}
        self.models: dict[str, StoredModel] = {}
        self.requests: list[str] = []
        self.converts_adapters = True
        """False as in later versions."""
        self.hold: asyncio.Event | None = None
        """`create` waits for it."""
        self.raw_create: bytes | None = None
        """What `create` answers instead, byte for byte."""

    def add_base(self, name: str, architecture: str) -> None:
        """A model that was pulled before."""
        self.models[name] = StoredModel(architecture, {}, {})

    def app(self) -> web.Application:
        """The routes."""
        app = web.Application(client_max_size=2**30)
        app.router.add_route("HEAD", "/api/blobs/{digest}", self._head_blob)
        app.router.add_post("/api/blobs/{digest}", self._post_blob)
        app.router.add_post("/api/create", self._create)
        app.router.add_post("/api/show", self._show)
        return app

    async def _head_blob(self, request: web.Request) -> web.Response:
        self._note(request)
        return web.Response(status=200 if request.match_info["digest"] in self.blobs else 404)

    async def _post_blob(self, request: web.Request) -> web.Response:
        self._note(request)
        content, digest = await request.read(), request.match_info["digest"]
        found = f"sha256:{hashlib.sha256(content).hexdigest()}"
        if found != digest:
            return web.json_response({"error": f"digest mismatch, expected {digest!r}, got {found!r}"}, status=400)
        self.blobs[digest] = content
        return web.Response(status=201)

    async def _show(self, request: web.Request) -> web.Response:
        self._note(request)
        name = (await request.json()).get("model", "")
        if name not in self.models:
            return web.json_response({"error": f"model '{name}' not found"}, status=404)
        architecture = self.models[name].architecture
        details = {"family": architecture, "format": "gguf"}
        return web.json_response({"details": details, "model_info": {"general.architecture": architecture}})

    async def _create(self, request: web.Request) -> web.StreamResponse:
        self._note(request)
        body = json.loads(await request.read())
        if not _NAME.fullmatch(body.get("model", "")):
            return web.json_response({"error": "invalid model name"}, status=400)
        if body.get("adapters") and not self.converts_adapters:
            return web.json_response({"error": "LoRA adapters are no longer supported"}, status=400)
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await answer.prepare(request)
        if self.raw_create is not None:
            await answer.write(self.raw_create)
            return answer
        try:
            await self._tell(answer, {"status": "converting model"})
            if self.hold is not None:
                await self.hold.wait()
            self.models[body["model"]] = self._made(body)
            await self._tell(answer, {"status": "writing manifest"})
            await self._tell(answer, {"status": "success"})
        except _CreateError as error:
            await self._tell(answer, {"error": str(error)})
        return answer

    async def _tell(self, answer: web.StreamResponse, report: dict[str, Any]) -> None:
        await answer.write(json.dumps(report).encode() + b"\n")

    def _made(self, body: dict[str, Any]) -> StoredModel:
        files, adapters = (self._contents(body.get(name) or {}) for name in ("files", "adapters"))
        if body.get("from"):
            if body["from"] not in self.models:
                raise _CreateError("pull model manifest: file does not exist")
            architecture = self.models[body["from"]].architecture
        elif files:
            named = json.loads(files["config.json"])["architectures"][0]
            if named not in _MODELS:
                raise _CreateError(f'unsupported architecture "{named}"')
            architecture = _MODELS[named]
        else:
            raise _CreateError("neither 'from' or 'files' was specified")
        if adapters and architecture not in _ADAPTERS:
            raise _CreateError("unsupported architecture")
        if adapters and not isinstance(json.loads(adapters["adapter_config.json"])["lora_alpha"], int):
            raise _CreateError("json: cannot unmarshal number 32.0 into Go struct field of type uint32")
        return StoredModel(architecture, files, adapters, body.get("template"), body.get("parameters") or {})

    def _contents(self, named: dict[str, str]) -> dict[str, bytes]:
        missing = [name for name, digest in named.items() if digest not in self.blobs]
        if missing:
            raise _CreateError(f"open blobs/{named[missing[0]]}: no such file or directory")
        return {name: self.blobs[digest] for name, digest in named.items()}

    def _note(self, request: web.Request) -> None:
        self.requests.append(f"{request.method} {request.path.partition('sha256')[0]}")


@asynccontextmanager
async def ollama_stand_in(port: int = 0) -> AsyncIterator[OllamaStandIn]:
    """It listens on this machine, on a free port if none is given."""
    stand_in = OllamaStandIn()
    runner = web.AppRunner(stand_in.app(), access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    (address,) = runner.addresses
    stand_in.url = f"http://127.0.0.1:{address[1]}"
    try:
        yield stand_in
    finally:
        await runner.cleanup()
