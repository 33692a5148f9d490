"""One answer that is being made: its tokens so far, its text, and when it ends. No torch but the generator."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fettle_trainer.serve.adapters import ServedAdapter
from fettle_trainer.serve.errors import RequestError
from fettle_trainer.serve.sampling import SamplingParameters
from fettle_trainer.serve.stopping import StopFinder
from fettle_trainer.serve.token_text import TokenText

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Answer:
    """What an answer has become since the last report; the last one has a finish reason or an error."""

    index: int
    text: str
    token_count: int
    """Of the whole answer so far."""
    finish_reason: FinishReason | None = None
    error: RequestError | None = None

    @property
    def is_last(self) -> bool:
        """Whether nothing follows."""
        return self.finish_reason is not None or self.error is not None


@dataclass(frozen=True)
class SequenceRequest:
    """What one answer is made from."""

    prompt: Sequence[int]
    max_new_tokens: int
    parameters: SamplingParameters = field(default_factory=SamplingParameters)
    stops: Sequence[str] = ()
    end_tokens: frozenset[int] = frozenset()
    """Tokens that end the answer and are not part of its text."""
    index: int = 0
    is_streamed: bool = False


@dataclass(eq=False)
class SequenceState:
    """An answer in the making. Only the engine's thread changes it, but for `is_cancelled`."""

    request: SequenceRequest
    adapter: ServedAdapter | None
    text: TokenText
    generator: Any
    report: Callable[[Answer], None]
    """Called from the engine's thread; must not block."""
    tokens: list[int] = field(default_factory=list)
    is_cancelled: bool = False
    """Set by any thread: nobody waits for the answer any more."""

    def __post_init__(self) -> None:
        self._stops = StopFinder(self.request.stops)
        self._unread: list[int] = []
        self._held_text = ""

    @property
    def length(self) -> int:
        """Tokens of prompt and answer."""
        return len(self.request.prompt) + len(self.tokens)

    @property
    def all_tokens(self) -> list[int]:
        """Prompt and answer: what is computed again when the row had to give way."""
        return [*self.request.prompt, *self.tokens]

    def accept(self, token: int) -> FinishReason | None:
        """Add the next token and report what it brought; the reason if it was the last."""
        self.tokens.append(token)
        is_end = token in self.request.end_tokens
        if not is_end:
            self._unread.append(token)
        reason: FinishReason | None = "stop" if is_end else None
        if reason is None and len(self.tokens) >= self.request.max_new_tokens:
            reason = "length"
        if reason is not None or self.request.is_streamed or self.request.stops:
            reason = self._read(reason)
        return reason

    def fail(self, error: RequestError) -> None:
        """Report that the answer will not be finished."""
        self.report(Answer(self.request.index, "", len(self.tokens), error=error))

    def _read(self, reason: FinishReason | None) -> FinishReason | None:
        text = self.text.feed(self._unread)
        self._unread = []
        if reason is not None:
            text += self.text.flush()
        shown, is_stopped = self._stops.feed(text)
        if is_stopped:
            reason = "stop"
        elif reason is not None:
            shown += self._stops.flush()
        self._held_text += shown
        if reason is not None or (self.request.is_streamed and self._held_text):
            self.report(Answer(self.request.index, self._held_text, len(self.tokens), reason))
            self._held_text = ""
        return reason
