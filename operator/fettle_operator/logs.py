"""Log lines as key=value or JSON, with the namespace, name and uid of what they are about."""

import json
import logging
from typing import Any

from fettle_operator.plan import Manifest


def fields(metadata: Manifest, **more: Any) -> dict[str, Any]:
    """`extra` for a log call about one resource."""
    about = {name: metadata[name] for name in ("namespace", "name", "uid") if metadata.get(name)}
    return {"fields": {**about, **more}}


def configure(level: str, log_format: str) -> None:
    """Once, at the start of the process."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if log_format == "json" else KeyValueFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(logging.WARNING)


class KeyValueFormatter(logging.Formatter):
    """`time=… level=… logger=… message="…" namespace=… name=…`."""

    def format(self, record: logging.LogRecord) -> str:
        """One line; a traceback follows as text."""
        line = " ".join(f"{name}={_quoted(value)}" for name, value in _content(self, record).items())
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """The traceback is a field."""
        content = _content(self, record)
        if record.exc_info:
            content["traceback"] = self.formatException(record.exc_info)
        return json.dumps(content, default=str)


def _content(formatter: logging.Formatter, record: logging.LogRecord) -> dict[str, Any]:
    return {
        "time": formatter.formatTime(record, "%Y-%m-%dT%H:%M:%S"),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
        **getattr(record, "fields", {}),
    }


def _quoted(value: Any) -> str:
    text = str(value)
    return json.dumps(text) if not text or any(c in text for c in ' "=\n') else text
