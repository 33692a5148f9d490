"""Deciding that a run no longer moves. Pure: the caller brings times and events."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class StallWatch:
    """Progress is a change of anything that an event says but its time: stage, step, bytes loaded, …"""

    startup_timeout_seconds: float
    """Limit until the first step of this attempt."""
    stall_timeout_seconds: float
    """Limit afterwards."""
    last_progress: float
    """Time, on the caller's clock, of the last change."""
    has_stepped: bool = False
    _last: dict[str, Any] = field(default_factory=dict)

    def observe(self, event: dict[str, Any], now: float) -> None:
        """Take one progress event into account."""
        content = {key: value for key, value in event.items() if key != "time"}
        if content != self._last:
            self._last, self.last_progress = content, now
        if event.get("kind", "step") == "step" and event.get("step"):
            self.has_stepped = True

    def stalled_for(self, now: float) -> float | None:
        """Seconds without progress if they are too many, else None."""
        limit = self.stall_timeout_seconds if self.has_stepped else self.startup_timeout_seconds
        waited = now - self.last_progress
        return waited if waited >= limit else None
