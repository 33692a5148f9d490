"""The generate loop: all answers that are being made share one batch, and each iteration adds a token to every one.

A new request joins between two iterations: its prompt is computed, then its row stands beside the others. One thread
calls `step`; `submit` may be called from any. What a row becomes does not depend on the rows beside it, but for the
last bits of floating-point numbers.
"""

import copy
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from threading import Lock
from typing import Any

import torch
from transformers.cache_utils import DynamicCache

from fettle_trainer.serve.adapter_files import read_adapter
from fettle_trainer.serve.adapters import AdapterTable, ServedAdapter
from fettle_trainer.serve.cache import BatchCache
from fettle_trainer.serve.errors import EngineError, InvalidInputError, NotFoundError, QueueFullError
from fettle_trainer.serve.limits import EngineLimits
from fettle_trainer.serve.lora import LoraModel, Weights
from fettle_trainer.serve.sampling import choose_token, new_generator
from fettle_trainer.serve.sequences import Answer, SequenceRequest, SequenceState
from fettle_trainer.serve.token_text import TokenText

_PREFILL_TOKENS = 4096
"""Most tokens, padding included, of the prompts that one iteration takes in; the rows in the batch wait for it."""


class Engine:
    """A base model with its adapters; makes answers."""

    def __init__(self, model: Any, tokenizer: Any, base_names: list[str], limits: EngineLimits) -> None:
        self.tokenizer = tokenizer
        self.limits = limits
        self.base_names = base_names
        self._lora = LoraModel(model)
        self._model = model
        self.adapters = AdapterTable(base_names, limits.max_adapters, self._lora.detach)
        self._text_tokenizer = copy.deepcopy(tokenizer)  # a fast tokenizer may not be used by two threads at once
        self._cache = BatchCache()
        self._waiting: deque[SequenceState] = deque()
        self._running: list[SequenceState] = []
        self._lock = Lock()
        self.prompt_token_count = 0
        self.generated_token_count = 0

    @property
    def running_count(self) -> int:
        """Answers in the batch."""
        return len(self._running)

    @property
    def waiting_count(self) -> int:
        """Answers that wait for a place in it."""
        return len(self._waiting)

    @property
    def is_idle(self) -> bool:
        """Whether there is nothing to do."""
        return not self._running and not self._waiting

    def submit(
        self, requests: Sequence[SequenceRequest], adapter_name: str | None, report: Callable[[Answer], None]
    ) -> list[SequenceState]:
        """Let answers be made; all or none of them are accepted. QueueFullError says that too many wait."""
        with self._lock:
            self.require_room(len(requests))
            adapter = self._acquire(adapter_name, len(requests))
            states = [self._state(request, adapter, report) for request in requests]
            self._waiting.extend(states)
        return states

    def require_room(self, count: int) -> None:
        """QueueFullError if not so many more answers may wait."""
        if len(self._waiting) + count > self.limits.max_waiting:
            raise QueueFullError(
                f"{len(self._waiting)} answers wait already and {count} more were asked for; "
                f"{self.limits.max_waiting} may wait. Try again later."
            )

    def step(self) -> None:
        """One iteration: rows that nobody waits for leave, new ones join, each gets a token."""
        with torch.inference_mode():
            self._drop_cancelled()
            joining = self._next_to_join()
            if joining:
                self._prefill(joining)
            if self._running:
                self._make_room()
                self._decode()

    def begin(self, requests: Sequence[SequenceRequest], adapter_name: str | None = None) -> dict[int, Answer]:
        """Ask for answers that are not streamed; `run` puts them into what is returned, by their index."""
        finished: dict[int, Answer] = {}
        self.submit(requests, adapter_name, lambda answer: finished.__setitem__(answer.index, answer))
        return finished

    def run(self) -> None:
        """Make all answers that were asked for, in this thread."""
        while not self.is_idle:
            self.step()

    def read_adapter(self, path: Path) -> Weights:
        """Check an adapter against the base model and read its weights; changes nothing, for any thread."""
        files = read_adapter(path)
        if files.rank > self.limits.max_lora_rank:
            raise InvalidInputError(
                f"LoRA rank {files.rank} is greater than max_lora_rank {self.limits.max_lora_rank}; start the engine "
                "with a larger --max-lora-rank.",
                "lora_path",
            )
        self._lora.check(files)
        return self._lora.read(files)

    def add_adapter(self, name: str, path: Path, weights: Weights, *, replaces: bool = False) -> ServedAdapter:
        """Serve an adapter that was read; only between two steps."""
        return self.adapters.add(name, path, lambda key: self._lora.attach(key, weights), replaces=replaces)

    def fail_all(self, error: EngineError, *, is_final: bool = False) -> None:
        """End every answer in the batch with an error; those that wait may still succeed, unless it is final."""
        failed, self._running = self._running, []
        if is_final:
            with self._lock:
                failed += self._waiting
                self._waiting.clear()
        self._cache.clear()
        for state in failed:
            self._release(state)
            state.fail(error)

    def _acquire(self, name: str | None, users: int) -> ServedAdapter | None:
        adapter = self.adapters.acquire(name, users) if name is not None else None
        if name is not None and adapter is None:
            raise NotFoundError(f"The model `{name}` does not exist.", "model")
        return adapter

    def _state(
        self, request: SequenceRequest, adapter: ServedAdapter | None, report: Callable[[Answer], None]
    ) -> SequenceState:
        text = TokenText(self._text_of, request.prompt)
        return SequenceState(request, adapter, text, new_generator(request.parameters.seed), report)

    def _text_of(self, tokens: Sequence[int]) -> str:
        return str(self._text_tokenizer.decode(tokens, skip_special_tokens=True)) if tokens else ""

    def _drop_cancelled(self) -> None:
        self._leave([row for row, state in enumerate(self._running) if state.is_cancelled])
        with self._lock:
            cancelled = [state for state in self._waiting if state.is_cancelled]
            for state in cancelled:
                self._waiting.remove(state)
        for state in cancelled:
            self._release(state)

    def _next_to_join(self) -> list[SequenceState]:
        joining: list[SequenceState] = []
        width = 0
        with self._lock:
            while self._waiting and len(self._running) + len(joining) < self.limits.max_batch:
                widest = max(width, self._waiting[0].length)
                rows = len(self._running) + len(joining) + 1
                if joining and widest * (len(joining) + 1) > _PREFILL_TOKENS:
                    break
                if rows > 1 and not self.limits.fits(rows, max(widest, self._cache.width) + 1):
                    break
                joining.append(self._waiting.popleft())
                width = widest
        return sorted(joining, key=_adapter_key)  # rows of one adapter beside each other are quicker

    def _make_room(self) -> None:
        """While the rows have grown too long together, the last gives way; it is computed again later."""
        while len(self._running) > 1 and not self.limits.fits(len(self._running), self._cache.width + 1):
            last = self._running[-1]
            self._take_out([len(self._running) - 1])
            with self._lock:
                self._waiting.appendleft(last)

    def _prefill(self, joining: list[SequenceState]) -> None:
        """Compute the prompts of new rows in one pass and put them beside the others."""
        width = max(state.length for state in joining)
        padding = [width - state.length for state in joining]
        # What stands in the padding is masked; token 0 exists in every vocabulary.
        rows = [[0] * pad + state.all_tokens for pad, state in zip(padding, joining, strict=True)]
        cache = DynamicCache()
        first = len(self._running)
        self._running += joining  # from here on an error ends them as well
        logits = self._forward(joining, rows, cache, [state.length for state in joining], width)
        self._cache.append(cache, width)
        self.prompt_token_count += sum(state.length for state in joining)
        self._accept(logits, range(first, first + len(joining)))

    def _decode(self) -> None:
        """One more token for every row. The last token of each is computed now: its keys are not there yet."""
        self._cache.make_step()
        lengths = [state.length for state in self._running]
        rows = [[state.tokens[-1]] for state in self._running]
        logits = self._forward(self._running, rows, self._cache, lengths, self._cache.width + 1)
        self._cache.advance()
        self._accept(logits, range(len(self._running)))

    def _forward(
        self, states: list[SequenceState], rows: list[list[int]], cache: Any, lengths: list[int], width: int
    ) -> torch.Tensor:
        """Logits of the last position of each row; `width` columns, of which `lengths` at the end are the row's."""
        device = self._model.device
        self._lora.plan.set([_adapter_key(state) or None for state in states], device)
        starts = width - torch.tensor(lengths, device=device)[:, None]
        columns = torch.arange(width, device=device)[None, :]
        positions = (columns - starts).clamp_min(0)[:, -len(rows[0]) :]
        is_padded = min(lengths) < width
        output = self._model(
            input_ids=torch.tensor(rows, device=device),
            attention_mask=columns >= starts if is_padded else None,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: torch.Tensor = output.logits[:, -1]
        return logits

    def _accept(self, logits: torch.Tensor, rows: Iterable[int]) -> None:
        """Choose the next token of `rows`; those that ended leave."""
        rows = list(rows)
        self.generated_token_count += len(rows)
        likeliest = logits.argmax(-1).tolist()
        ended: list[int] = []
        for row, best, scores in zip(rows, likeliest, logits, strict=True):
            state = self._running[row]
            parameters = state.request.parameters
            if not (parameters.is_greedy and not parameters.has_penalties):
                best = choose_token(scores.cpu(), parameters, state.request.prompt, state.tokens, state.generator)
            if state.accept(best) is not None:
                ended.append(row)
        self._leave(ended)

    def _leave(self, rows: list[int]) -> None:
        for state in self._take_out(rows):
            self._release(state)

    def _take_out(self, rows: list[int]) -> list[SequenceState]:
        """Remove rows; as in the cache, the last one takes a freed place."""
        taken: list[SequenceState] = []
        for row in sorted(rows, reverse=True):
            self._cache.remove(row)
            taken.append(self._running[row])
            self._running[row] = self._running[-1]
            self._running.pop()
        if taken:
            self._cache.narrow(max((state.length - 1 for state in self._running), default=0))
        return taken

    def _release(self, state: SequenceState) -> None:
        if state.adapter is not None:
            self.adapters.release(state.adapter)


def _adapter_key(state: SequenceState) -> str:
    return state.adapter.key if state.adapter else ""
