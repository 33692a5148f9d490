"""How long to leave alone what has just failed. Values only; the caller brings the time."""

from collections.abc import Callable
from dataclasses import dataclass, field

_FIRST_SECONDS = 1.0
_LONGEST_SECONDS = 60.0
Key = tuple[object, ...]
"""Begins with the uid of a pod."""


@dataclass
class Backoff:
    """Waits by key, which double with each failure in a row."""

    _failures: dict[Key, tuple[int, float]] = field(default_factory=dict)
    """Key → failures in a row, and the time until which it is left alone."""

    def failed(self, key: Key, now: float) -> None:
        """It failed once more."""
        count = self._failures.get(key, (0, 0.0))[0]
        self._failures[key] = (count + 1, now + min(_LONGEST_SECONDS, _FIRST_SECONDS * 2.0 ** min(count, 30)))

    def succeeded(self, key: Key) -> None:
        """The next failure is the first again."""
        self._failures.pop(key, None)

    def is_waiting(self, key: Key, now: float) -> bool:
        """Whether it is to be left alone now."""
        return now < self._failures.get(key, (0, 0.0))[1]

    def keep(self, is_wanted: Callable[[Key], bool]) -> None:
        """Forget all others."""
        self._failures = {key: value for key, value in self._failures.items() if is_wanted(key)}
