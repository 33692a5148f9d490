"""Writing a file so that a reader sees the old one or the whole new one, even after a crash. Standard library only."""

import json
import os
from pathlib import Path
from typing import Any

READABLE_BY_ALL = 0o644


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON; synced to disk before it takes its name."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write `text` beside `path`, sync it, then rename it there. Nothing is left behind on failure."""
    # Processes of several machines may write the same file, and have the same number.
    temporary = path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(READABLE_BY_ALL)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_directory(path.parent)


def sync_file(path: Path) -> None:
    """Make the content of a file that somebody else wrote durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make names inside `path` durable."""
    sync_file(path)
