"""The edge to `trajectories/`: one file for each trajectory. All calls block.

The file's name holds when the trajectory was made, when it came, and a digest of its id: a directory listing is the
index. Its first line is the summary, its second the whole. Whoever else writes there is hostile; what cannot be read is
not there.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeVar

from pydantic import ValidationError

from fettle_api.errors import FileMissingError, TrajectoryNotFoundError
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.trajectories.model import Trajectory, TrajectorySummary
from fettle_schema.layout import TRAJECTORIES

MAX_TRAJECTORY_BYTES = 64 * 1024 * 1024
_MAX_SUMMARY_BYTES = 16 * 1024
_NAME = re.compile(r"([0-9]{15})-([0-9]{17})-([0-9a-f]{32})\.jsonl")

Parsed = TypeVar("Parsed", Trajectory, TrajectorySummary)


@dataclass(frozen=True)
class Kept:
    """What became of trajectories that were taken in."""

    created: int = 0
    updated: int = 0
    unchanged: int = 0


class TrajectoryFiles:
    """Reads and writes them."""

    def __init__(self, workspace: Workspace, writer: WorkspaceWriter) -> None:
        self._workspace, self._writer = workspace, writer

    def keep(self, trajectories: list[Trajectory], arrived_us: int) -> Kept:
        """Write them, in this order; the same id again replaces what was there. Raises StorageFullError."""
        known = {_key_of_name(name): name for name in reversed(self._names())}
        counts = {"created": 0, "updated": 0, "unchanged": 0}
        for number, trajectory in enumerate(trajectories):
            key = _key(trajectory.id or "")
            name, before = _name(trajectory, arrived_us + number, key), known.get(key)
            content = _content(trajectory)
            if before is not None and self._read(before) == content:
                counts["unchanged"] += 1
                continue
            if before is not None:
                name = _name(trajectory, int(before.split("-")[1]), key)
            self._writer.write_file(f"{TRAJECTORIES}/{name}", content, replace=True)
            if before not in (None, name):
                self._writer.remove_file(f"{TRAJECTORIES}/{before}")
            known[key] = name
            counts["created" if before is None else "updated"] += 1
        return Kept(**counts)

    def page(self, offset: int, limit: int) -> tuple[list[TrajectorySummary], int]:
        """Summaries, the newest first, and how many there are in all."""
        names = self._names()
        found = [self._summary(name) for name in names[offset : offset + limit]]
        return [summary for summary in found if summary is not None], len(names)

    def get(self, trajectory_id: str) -> Trajectory:
        """Raises TrajectoryNotFoundError."""
        key = _key(trajectory_id)
        name = next((name for name in self._names() if _key_of_name(name) == key), None)
        trajectory = self._trajectory(name) if name else None
        if trajectory is None:
            raise TrajectoryNotFoundError(trajectory_id)
        return trajectory

    def newest_first(self) -> Iterator[Trajectory]:
        """All of them, read one by one."""
        for name in self._names():
            trajectory = self._trajectory(name)
            if trajectory is not None:
                yield trajectory

    def _names(self) -> list[str]:
        """The newest first; of two for one id, which only two facades at once can make, the newer one."""
        try:
            listed = self._workspace.list_names(TRAJECTORIES)
        except FileMissingError:
            return []
        names = sorted(filter(_NAME.fullmatch, listed), reverse=True)
        return list({_key_of_name(name): name for name in reversed(names)}.values())[::-1]

    def _summary(self, name: str) -> TrajectorySummary | None:
        try:
            file = self._workspace.open_file(f"{TRAJECTORIES}/{name}")
        except FileMissingError:
            return None
        try:
            head = os.pread(file.descriptor, _MAX_SUMMARY_BYTES, 0)
        finally:
            os.close(file.descriptor)
        return _parse(TrajectorySummary, head.partition(b"\n")[0], name)

    def _trajectory(self, name: str) -> Trajectory | None:
        return _parse(Trajectory, self._read(name).partition(b"\n")[2], name)

    def _read(self, name: str) -> bytes:
        try:
            return self._workspace.read_file(f"{TRAJECTORIES}/{name}", MAX_TRAJECTORY_BYTES)
        except FileMissingError:
            return b""


def _name(trajectory: Trajectory, arrived_us: int, key: str) -> str:
    return f"{trajectory.created_at or 0:015d}-{arrived_us:017d}-{key}.jsonl"


def _key(trajectory_id: str) -> str:
    return hashlib.sha256(trajectory_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _key_of_name(name: str) -> str:
    return name[34:66]


def _content(trajectory: Trajectory) -> bytes:
    lines = [trajectory.summary, trajectory]
    return b"".join(line.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n" for line in lines)


def _parse(model: type[Parsed], line: bytes, name: str) -> Parsed | None:
    """None for what cannot be read, or belongs to another name."""
    try:
        found = model.model_validate_json(line)
    except ValidationError:
        return None
    return found if _key(found.id or "") == _key_of_name(name) else None
