"""The HTTP routes: parse, ask the service, answer. The paths, bodies and codes are those of vLLM's OpenAI server."""

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from typing import Any, TypeVar
from uuid import uuid4

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException

from fettle_trainer.serve.errors import EngineError, RequestError, UnauthorizedError
from fettle_trainer.serve.metrics import metrics_text
from fettle_trainer.serve.requests import (
    ChatRequest,
    CompletionRequest,
    GenerationParameters,
    LoadAdapterRequest,
    UnloadAdapterRequest,
)
from fettle_trainer.serve.responses import DONE, Endpoint, ResponseHead, error_body, event, model_list, usage
from fettle_trainer.serve.sequences import SequenceRequest
from fettle_trainer.serve.service import Service

_STOP_SECONDS = 10
_CLIENT_CLOSED = 499
Result = TypeVar("Result")
Body = TypeVar("Body", bound=BaseModel)
_log = logging.getLogger(__name__)


def create_app(service: Service, admin_key: str | None = None) -> FastAPI:
    """The application; with `admin_key`, only who knows it loads and unloads adapters."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.worker.start()
        yield
        await asyncio.to_thread(service.worker.stop, _STOP_SECONDS)

    app = FastAPI(title="Fettle engine", lifespan=lifespan, docs_url=None, redoc_url=None)
    _add_model_routes(app, service)
    _add_generation_routes(app, service)
    _add_admin_routes(app, service, admin_key)
    _add_error_handlers(app)
    return app


def _add_model_routes(app: FastAPI, service: Service) -> None:
    engine = service.worker.engine

    @app.get("/health")
    async def health() -> Response:
        return Response(status_code=200 if service.worker.is_alive else 503)

    @app.get("/v1/models")
    async def models() -> dict[str, Any]:
        return model_list(service.base_names, service.base_root, service.created, engine.limits, engine.adapters.all())

    @app.get("/metrics")
    async def metrics() -> PlainTextResponse:
        return PlainTextResponse(metrics_text(engine), media_type="text/plain; version=0.0.4")


def _add_generation_routes(app: FastAPI, service: Service) -> None:
    @app.post("/v1/chat/completions")
    async def chat(body: ChatRequest, request: Request) -> Response:
        adapter = service.adapter_of(body.model)
        return await _respond("chat", body, service.preparation.of_chat(body), adapter, service, request)

    @app.post("/v1/completions")
    async def completions(body: CompletionRequest, request: Request) -> Response:
        adapter = service.adapter_of(body.model)
        return await _respond("completion", body, service.preparation.of_completion(body), adapter, service, request)


def _add_admin_routes(app: FastAPI, service: Service, admin_key: str | None) -> None:
    def authorize(request: Request) -> None:
        given = request.headers.get("authorization", "")
        if admin_key is not None and not hmac.compare_digest(given.encode(), f"Bearer {admin_key}".encode()):
            raise UnauthorizedError("Loading and unloading need `Authorization: Bearer` with the admin key.")

    @app.post("/v1/load_lora_adapter")
    async def load(request: Request) -> PlainTextResponse:
        authorize(request)
        message = await service.load_adapter(await _parsed(LoadAdapterRequest, request))
        _log.info("adapter loaded: %s", message)
        return PlainTextResponse(message)

    @app.post("/v1/unload_lora_adapter")
    async def unload(request: Request) -> PlainTextResponse:
        authorize(request)
        message = await service.unload_adapter(await _parsed(UnloadAdapterRequest, request))
        _log.info("adapter unloaded: %s", message)
        return PlainTextResponse(message)


async def _parsed(kind: type[Body], request: Request) -> Body:
    """The body, read after the key was checked."""
    try:
        return kind.model_validate_json(await request.body())
    except ValidationError as error:
        raise _as_request_error(error.errors()[0]) from error


async def _respond(
    endpoint: Endpoint,
    body: GenerationParameters,
    sequences: list[SequenceRequest],
    adapter: str | None,
    service: Service,
    request: Request,
) -> Response:
    prefix = {"chat": "chatcmpl", "completion": "cmpl"}[endpoint]
    head = ResponseHead(endpoint, f"{prefix}-{uuid4().hex}", int(time.time()), body.model or service.base_names[0])
    prompt_tokens = _prompt_tokens(sequences, body.n)
    if not body.stream:
        answers = await _unless_gone(request, service.finished(sequences, adapter))
        if answers is None:
            return Response(status_code=_CLIENT_CLOSED)
        return JSONResponse(head.whole(answers, prompt_tokens))
    service.require_room(len(sequences))  # once a stream has begun, its status is sent
    stream = _stream(head, sequences, adapter, service, prompt_tokens if body.includes_usage else None)
    return StreamingResponse(stream, media_type="text/event-stream")


async def _stream(
    head: ResponseHead,
    sequences: list[SequenceRequest],
    adapter: str | None,
    service: Service,
    prompt_tokens: int | None,
) -> AsyncIterator[str]:
    """The events of a stream; `prompt_tokens` is given where its usage is asked for."""
    completion_tokens = 0
    try:
        if head.endpoint == "chat":
            for sequence in sequences:
                yield event(head.first_chunk(sequence.index))
        async with aclosing(service.answers(sequences, adapter)) as answers:
            async for answer in answers:
                if answer.error is not None:
                    raise answer.error
                completion_tokens += answer.token_count if answer.is_last else 0
                yield event(head.chunk(answer))
        if prompt_tokens is not None:
            yield event(head.body([], is_chunk=True, usage=usage(prompt_tokens, completion_tokens)))
    except RequestError as error:
        yield event(error_body(error))
    yield DONE


async def _unless_gone(request: Request, answer: Awaitable[Result]) -> Result | None:
    """The answer, or None if the client went away before it was there; it is then given up."""
    working = asyncio.ensure_future(answer)
    listening = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        return await working if working.done() else None
    finally:
        for task in (working, listening):
            task.cancel()
        await asyncio.gather(working, listening, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _prompt_tokens(sequences: list[SequenceRequest], choices: int) -> int:
    """Each prompt counts once, however many answers it gets."""
    return sum(len(sequence.prompt) for sequence in sequences[::choices])


def _add_error_handlers(app: FastAPI) -> None:
    Handler = Callable[[Request, Any], Awaitable[JSONResponse]]

    async def refused(_: Request, error: RequestError) -> JSONResponse:
        headers = {"Retry-After": "1"} if error.status in (429, 503) else None
        return JSONResponse(error_body(error), status_code=error.status, headers=headers)

    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return await refused(request, _as_request_error(error.errors()[0]))

    async def unknown(_: Request, error: HTTPException) -> JSONResponse:
        body = {"message": str(error.detail), "type": "NotFoundError", "param": None, "code": error.status_code}
        return JSONResponse({"error": body}, status_code=error.status_code, headers=error.headers)

    async def failed(request: Request, error: Exception) -> JSONResponse:  # uvicorn logs it
        return await refused(request, EngineError(f"The engine failed: {type(error).__name__}."))

    handlers: dict[type[Exception], Handler] = {
        RequestError: refused,
        RequestValidationError: invalid,
        HTTPException: unknown,
        Exception: failed,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)


def _as_request_error(problem: Any) -> RequestError:
    place = [str(part) for part in problem["loc"] if part != "body"]
    param = ".".join(place) or None
    if problem["type"] == "extra_forbidden":
        return RequestError(f"{param!r} is not supported by this engine; leave it out.", param)
    return RequestError(f"{param}: {problem['msg']}" if param else str(problem["msg"]), param)
