"""What each of several processes leaves of its own end, because torchrun always ends with 1. Standard library only."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from fettle_schema.vocabulary import ExitCode
from fettle_trainer.atomic_file import write_json

ORDERLY = frozenset({ExitCode.DONE, ExitCode.CHECKPOINTED})
"""Exit codes of a process that has done its part, and nobody else's fault ended."""
_POLL_SECONDS = 0.1


def results_directory(attempt_directory: Path, restart: int) -> Path:
    """Of the processes that were started after `restart` restarts within the attempt."""
    return attempt_directory / "ranks" / str(restart)


def clear_results(directory: Path) -> None:
    """An empty directory, whose existence tells other nodes that they may start."""
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)


def wait_for_directory(directory: Path, seconds: float, is_stopped: Callable[[], bool]) -> None:
    """Until the first node has made it, `seconds` are over, or there is no use in waiting."""
    deadline = time.monotonic() + seconds
    while not directory.is_dir() and time.monotonic() < deadline and not is_stopped():
        time.sleep(_POLL_SECONDS)


def leave_result(directory: Path, rank: int, result: dict[str, Any]) -> None:
    """For the supervisors of all nodes."""
    write_json(directory / f"{rank}.json", result)


def have_left(directory: Path, ranks: Iterable[int]) -> bool:
    """Whether all these have left a result."""
    return all((directory / f"{rank}.json").exists() for rank in ranks)


def are_orderly(results: Mapping[int, dict[str, Any]], ranks: Iterable[int]) -> bool:
    """Whether all these have left a result that is no failure."""
    return all(rank in results and results[rank]["exitCode"] in ORDERLY for rank in ranks)


def read_results(directory: Path) -> dict[int, dict[str, Any]]:
    """Rank → RunResult, of those that have left one."""
    results = {}
    for path in directory.glob("*.json"):
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        if path.stem.isdigit() and isinstance(result, dict) and isinstance(result.get("exitCode"), int):
            results[int(path.stem)] = result
    return results


def wait_for_results(directory: Path, count: int, seconds: float) -> dict[int, dict[str, Any]]:
    """The same, when all `count` are there or `seconds` are over."""
    deadline = time.monotonic() + seconds
    while len(results := read_results(directory)) < count and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    return results
