"""What the engine does for a client, without HTTP: who is asked, answers as they come, adapters that come and go."""

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fettle_trainer.serve.errors import InvalidInputError, NotFoundError
from fettle_trainer.serve.preparation import Preparation
from fettle_trainer.serve.requests import LoadAdapterRequest, UnloadAdapterRequest
from fettle_trainer.serve.sequences import Answer, SequenceRequest, SequenceState
from fettle_trainer.serve.worker import Worker


@dataclass
class Service:
    """One engine, asked from an event loop."""

    worker: Worker
    preparation: Preparation
    base_root: str
    """Where the base model was loaded from."""
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self._changing = asyncio.Lock()

    @property
    def base_names(self) -> list[str]:
        """The base model's served names."""
        return self.worker.engine.base_names

    def adapter_of(self, model: str | None) -> str | None:
        """The adapter that a request's `model` means, None for the base; NotFoundError if it means nothing."""
        if model is None or model in self.base_names:
            return None
        if any(adapter.name == model for adapter in self.worker.engine.adapters.all()):
            return model
        raise NotFoundError(f"The model `{model}` does not exist.", "model")

    def require_room(self, count: int) -> None:
        """QueueFullError or StoppingError if not so many more answers can be asked for."""
        self.worker.require_room(count)

    async def answers(self, requests: list[SequenceRequest], adapter: str | None) -> AsyncGenerator[Answer, None]:
        """What all answers become, until each has ended. Leaving the iteration gives their places up."""
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Answer] = asyncio.Queue()

        def report(answer: Answer) -> None:
            with suppress(RuntimeError):  # the loop has ended: nobody listens any more
                loop.call_soon_threadsafe(arrived.put_nowait, answer)

        states: list[SequenceState] = self.worker.submit(requests, adapter, report)
        unfinished = len(states)
        try:
            while unfinished:
                answer = await arrived.get()
                unfinished -= answer.is_last
                yield answer
        finally:
            if unfinished:
                self.worker.cancel(states)

    async def finished(self, requests: list[SequenceRequest], adapter: str | None) -> list[Answer]:
        """All answers, whole; EngineError if one could not be made."""
        found: list[Answer] = []
        async with aclosing(self.answers(requests, adapter)) as answers:
            async for answer in answers:
                if answer.error is not None:
                    raise answer.error
                found.append(answer)
        return found

    async def load_adapter(self, request: LoadAdapterRequest) -> str:
        """Load, or with `load_inplace` swap; running requests go on. vLLM's sentence of success."""
        name = request.lora_name
        if not name or not request.lora_path:
            raise InvalidInputError("Both 'lora_name' and 'lora_path' must be provided.", None)
        engine, path = self.worker.engine, Path(request.lora_path)
        async with self._changing:
            engine.adapters.require_free(name, replaces=request.load_inplace)
            weights = await asyncio.to_thread(engine.read_adapter, path)
            await asyncio.wrap_future(
                self.worker.call(lambda: engine.add_adapter(name, path, weights, replaces=request.load_inplace))
            )
        return f"Success: LoRA adapter '{name}' added successfully."

    async def unload_adapter(self, request: UnloadAdapterRequest) -> str:
        """Unload; requests that began with it end with it. vLLM's sentence of success."""
        name = request.lora_name
        if not name:
            raise InvalidInputError("'lora_name' needs to be provided to unload a LoRA adapter.", None)
        async with self._changing:
            await asyncio.wrap_future(self.worker.call(lambda: self.worker.engine.adapters.remove(name)))
        return f"Success: LoRA adapter '{name}' removed successfully."
