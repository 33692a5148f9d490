"""A polite end: SIGTERM sets a flag, and the run stops where its state can be saved. Standard library only."""

import signal
from types import FrameType


class StopRequested(BaseException):
    """Raised where nothing is worth saving yet. Not an Exception: libraries must not swallow it."""


class StopFlag:
    """Whether the run was asked to stop. Before training begins, the request ends it at once.

    Several processes are asked at different moments: training looks at what all have agreed upon.
    """

    def __init__(self) -> None:
        self.is_requested = False
        self.is_agreed = False
        self.is_training = False

    def listen(self) -> None:
        """Handle SIGTERM and SIGINT from now on."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._handle)

    def begin_training(self) -> None:
        """From now on the training loop looks at the flag after each step."""
        self.is_training = True

    def agree(self, *, is_requested: bool) -> None:
        """What all processes have come to after the same step."""
        self.is_agreed = self.is_agreed or is_requested

    def _handle(self, number: int, frame: FrameType | None) -> None:
        first = not self.is_requested
        self.is_requested = True
        if first and not self.is_training:
            raise StopRequested
