"""Following `metrics.jsonl` as the training process writes it. Standard library only."""

import json
from pathlib import Path
from typing import Any


class MetricsTail:
    """Gives each progress event of one attempt once, from the moment of its creation."""

    def __init__(self, path: Path, attempt: int) -> None:
        self._path = path
        self._attempt = attempt
        self._offset = path.stat().st_size if path.exists() else 0

    def read_new(self) -> list[dict[str, Any]]:
        """Events since the last call; an unfinished line waits, what is no event of this attempt is left out."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._offset += len(whole)
        return [event for line in whole.splitlines() if (event := self._parse(line)) is not None]

    def _parse(self, line: bytes) -> dict[str, Any] | None:
        try:
            event = json.loads(line)
        except ValueError:
            return None
        return event if isinstance(event, dict) and event.get("attempt") == self._attempt else None
