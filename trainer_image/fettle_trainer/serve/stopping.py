"""Stop strings over text that arrives in pieces. Pure."""

from collections.abc import Sequence


class StopFinder:
    """Lets text through up to the first stop string, and holds back what may become one.

    A stop string may begin in one piece and end in a later one; nothing of it is ever let through.
    """

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held = ""

    def feed(self, text: str) -> tuple[str, bool]:
        """Text that may be shown now, and whether a stop string was reached; feed no more after that."""
        text = self._held + text
        found = [index for index in (text.find(stop) for stop in self._stops) if index >= 0]
        if found:
            self._held = ""
            return text[: min(found)], True
        shown = len(text) - self._possible_start(text)
        self._held = text[shown:]
        return text[:shown], False

    def flush(self) -> str:
        """What was held back: no stop string came."""
        held, self._held = self._held, ""
        return held

    def _possible_start(self, text: str) -> int:
        """Length of the longest end of `text` that begins a stop string."""
        return max((_overlap(text, stop) for stop in self._stops), default=0)


def _overlap(text: str, stop: str) -> int:
    longest = min(len(text), len(stop) - 1)
    return next((length for length in range(longest, 0, -1) if text.endswith(stop[:length])), 0)
