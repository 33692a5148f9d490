"""Use cases of what a job leaves behind: log, reports, checkpoints, published files. No HTTP, no dialect."""

import asyncio
import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from fettle_api.errors import FileMissingError, FileNameError
from fettle_api.files.workspace import OpenFile, Tail, Workspace
from fettle_api.jobs.logs import MAX_LINES, LogSource, parse_line
from fettle_api.resources.models import CheckpointView, JobLog, JobOutput, JobView
from fettle_api.resources.store import Store
from fettle_schema.layout import (
    ADAPTERS,
    CHECKPOINT_MANIFEST,
    CHECKPOINTS,
    METRICS_FILE,
    MODELS,
    RESULT_FILE,
    attempt_directory,
)
from fettle_schema.names import job_directory
from fettle_schema.run import ProgressEvent, RunResult

_LOGGED_EVENT = re.compile(rb'"kind"\s*:\s*"(?:step|evaluation)"')
_CHECKPOINT = re.compile(r"checkpoint-([0-9]{1,9})")
_MAX_RESULT_BYTES = 1024 * 1024
_ATTEMPT = re.compile(r"[1-9][0-9]{0,8}")


class Results:
    """Files and logs of jobs."""

    def __init__(self, store: Store, workspace: Workspace, logs: LogSource) -> None:
        self._store, self._workspace, self._logs = store, workspace, logs

    async def log(self, name: str, tail: int | None) -> JobLog:
        """The last lines and reports; all (at most 10,000 each) if `tail` is None. Raises JobNotFoundError."""
        job = await self._store.get_job(name)
        count = MAX_LINES if tail is None else min(tail, MAX_LINES)
        text = await self._logs.tail(job, count) or Tail([], 0)
        series = await asyncio.to_thread(self._series, job, count)
        events = tuple(event for event in map(_parse_event, series.lines) if event is not None)
        return JobLog(job, tuple(map(parse_line, text.lines)), text.line_count, events, series.line_count)

    async def series(self, job: JobView, count: int) -> JobLog:
        """The last reports (at most 10,000) without the log."""
        series = await asyncio.to_thread(self._series, job, min(count, MAX_LINES))
        events = tuple(event for event in map(_parse_event, series.lines) if event is not None)
        return JobLog(job, events=events, event_count=series.line_count)

    async def final_metrics(self, job: JobView) -> Mapping[str, Any]:
        """Final numbers of a job that has ended, as its last attempt left them; empty if it left none."""
        return (await self.final_metrics_of([job])).get(job.name, {})

    async def final_metrics_of(self, jobs: Sequence[JobView]) -> dict[str, Mapping[str, Any]]:
        """The same for all that have ended of several jobs, by name."""
        ended = [job for job in jobs if job.is_finished]
        if not ended:
            return {}
        return await asyncio.to_thread(lambda: {job.name: self._final_metrics(job) for job in ended})

    async def checkpoints(self, job: JobView) -> list[CheckpointView]:
        """Complete checkpoints of all attempts, the highest step first; of equal ones that of the last attempt."""
        return await asyncio.to_thread(self._checkpoints, job)

    async def has_files(self, path: str) -> bool:
        """Whether a directory in which jobs publish is there."""
        return is_published(path) and await asyncio.to_thread(self._workspace.exists, path)

    async def output(self, name: str) -> JobOutput:
        """What the job published; no files before it did. Raises JobNotFoundError."""
        job = await self._store.get_job(name)
        path = _output_path(job)
        if path is None:
            return JobOutput(job)
        try:
            return JobOutput(job, tuple(await asyncio.to_thread(self._workspace.list_files, path)))
        except FileMissingError:
            return JobOutput(job)

    async def open_output(self, name: str, file_name: str) -> tuple[OpenFile, str]:
        """A published file and its entity tag. Raises JobNotFoundError, FileNameError, FileMissingError."""
        job = await self._store.get_job(name)
        if not file_name or re.search(r"[/\\\0]|\.\.", file_name) or file_name == ".":
            raise FileNameError("Invalid filename")
        path = _output_path(job)
        if path is None or job.status.output is None:
            raise FileMissingError(f"training job {name!r} has published nothing yet")
        file = await asyncio.to_thread(self._workspace.open_file, f"{path}/{file_name}")
        identity = f"{job.status.output.digest}/{file_name}/{file.size_bytes}/{file.modified_ns}"
        return file, f'"{hashlib.sha256(identity.encode()).hexdigest()[:32]}"'

    def _series(self, job: JobView, count: int) -> Tail:
        path = f"{job_directory(job.name, job.uid)}/{METRICS_FILE}"
        try:
            return self._workspace.tail(path, count, _LOGGED_EVENT)
        except FileMissingError:
            return Tail([], 0)

    def _final_metrics(self, job: JobView) -> Mapping[str, Any]:
        attempt = job.status.attempts.current if job.status.attempts else 1
        path = f"{attempt_directory(job.name, job.uid, attempt)}/{RESULT_FILE}"
        try:
            return RunResult.model_validate_json(self._workspace.read_file(path, _MAX_RESULT_BYTES)).metrics
        except (FileMissingError, ValidationError):
            return {}

    def _checkpoints(self, job: JobView) -> list[CheckpointView]:
        attempts = f"{job_directory(job.name, job.uid)}/attempts"
        found: dict[str, tuple[int, CheckpointView]] = {}
        for attempt in sorted(filter(_ATTEMPT.fullmatch, self._directories(attempts)), key=int):
            for name in self._directories(f"{attempts}/{attempt}/{CHECKPOINTS}"):
                match, path = _CHECKPOINT.fullmatch(name), f"{attempts}/{attempt}/{CHECKPOINTS}/{name}"
                # Its manifest is written last: without one it was never complete.
                if match and self._workspace.exists(f"{path}/{CHECKPOINT_MANIFEST}"):
                    found[name] = int(match[1]), CheckpointView(name, int(match[1]), path)
        return [checkpoint for _, checkpoint in sorted(found.values(), key=lambda pair: pair[0], reverse=True)]

    def _directories(self, path: str) -> list[str]:
        try:
            return self._workspace.list_directories(path)
        except FileMissingError:
            return []


def is_published(path: str) -> bool:
    """Whether a path is where jobs may publish."""
    return path.startswith((f"{ADAPTERS}/", f"{MODELS}/"))


def _output_path(job: JobView) -> str | None:
    path = job.status.output.path if job.status.output else ""
    return path if is_published(path) else None


def _parse_event(line: str) -> ProgressEvent | None:
    try:
        return ProgressEvent.model_validate_json(line)
    except ValidationError:
        return None
