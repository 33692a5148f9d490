"""The one thread that computes: it steps the engine while there is work, and between steps runs what it is asked to."""

import logging
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from threading import Condition, Thread
from typing import Any, TypeVar

from fettle_trainer.serve.engine import Engine
from fettle_trainer.serve.errors import EngineError, StoppingError
from fettle_trainer.serve.sequences import Answer, SequenceRequest, SequenceState

Result = TypeVar("Result")
_log = logging.getLogger(__name__)


class Worker:
    """An engine in a thread of its own. All methods may be called from any other thread."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._commands: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._changed = Condition()
        self._is_stopping = False
        self._thread = Thread(target=self._loop, name="engine", daemon=True)

    @property
    def is_alive(self) -> bool:
        """Whether requests are answered."""
        return self._thread.is_alive() and not self._is_stopping

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """End after the current iteration; answers in the making end with an error."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._thread.join(timeout_seconds)

    def submit(
        self, requests: list[SequenceRequest], adapter_name: str | None, report: Callable[[Answer], None]
    ) -> list[SequenceState]:
        """As `Engine.submit`; `report` is called from the engine's thread."""
        self.require_room(0)
        states = self.engine.submit(requests, adapter_name, report)
        self._wake()
        return states

    def require_room(self, count: int) -> None:
        """QueueFullError or StoppingError if not so many more answers can be asked for."""
        if self._is_stopping:
            raise StoppingError("The engine is stopping; ask another one.")
        self.engine.require_room(count)

    def cancel(self, states: list[SequenceState]) -> None:
        """Nobody waits for these answers any more: their places become free with the next iteration."""
        for state in states:
            state.is_cancelled = True
        self._wake()

    def call(self, function: Callable[[], Result]) -> "Future[Result]":
        """Run `function` between two iterations."""
        future: Future[Result] = Future()
        with self._changed:
            if self._is_stopping:
                raise StoppingError("The engine is stopping; ask another one.")
            self._commands.append((function, future))
            self._changed.notify_all()
        return future

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _loop(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_stopping or self._commands or not self.engine.is_idle)
                if self._is_stopping:
                    break
                commands = list(self._commands)
                self._commands.clear()
            for function, future in commands:
                _run_command(function, future)
            self._step()
        self._abandon()

    def _step(self) -> None:
        try:
            self.engine.step()
        except Exception as error:  # out of memory, or a fault of ours: the engine must outlive one bad batch
            _log.exception("an iteration failed; the answers in it end with an error")
            self.engine.fail_all(EngineError(f"The engine failed: {type(error).__name__}."))

    def _abandon(self) -> None:
        self.engine.fail_all(EngineError("The engine was stopped before the answer was finished."), is_final=True)
        for _, future in self._commands:
            future.set_exception(StoppingError("The engine is stopping; ask another one."))


def _run_command(function: Callable[[], Any], future: "Future[Any]") -> None:
    try:
        future.set_result(function())
    except Exception as error:  # handed to whoever asked
        future.set_exception(error)
