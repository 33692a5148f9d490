"""Where the text of a job's log comes from. Reads only; the shape of lines in an answer is the dialects' business."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Protocol

from fettle_api.errors import FileMissingError
from fettle_api.files.workspace import Tail, Workspace
from fettle_api.resources.models import JobView, LogLine
from fettle_client.protocol import PODS, InvalidError, NotFoundError, ResourceClient
from fettle_schema.layout import LOG_FILE
from fettle_schema.names import CONTAINER_NAME, LABEL_JOB_UID, job_directory

MAX_LINES = 10_000
_MAX_LINE_CHARACTERS = 64 * 1024


class LogSource(Protocol):
    """Somewhere that a job's log may be."""

    async def tail(self, job: JobView, count: int) -> Tail | None:
        """The last `count` lines, or None if this source has no log of the job."""
        ...


class PodLogReader(Protocol):
    """What reads the log of a container; the Kubernetes client does."""

    def read_log(
        self,
        name: str,
        namespace: str,
        container: str | None = None,
        tail_lines: int | None = None,
        follow: bool = False,
        timestamps: bool = False,
    ) -> AsyncIterator[str]:
        """Lines of a pod. Raises NotFoundError, and InvalidError while it has not started."""
        ...


class WorkspaceLogs:
    """`log.txt` in the job's directory: all attempts, as the supervisor wrote it."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    async def tail(self, job: JobView, count: int) -> Tail | None:
        path = f"{job_directory(job.name, job.uid)}/{LOG_FILE}"
        try:
            return await asyncio.to_thread(self._workspace.tail, path, count)
        except FileMissingError:
            return None


class PodLogs:
    """The log of the newest pod of the job: all there is when the trainer did not come far enough to write a file."""

    def __init__(self, client: ResourceClient, reader: PodLogReader, namespace: str) -> None:
        self._client, self._reader, self._namespace = client, reader, namespace

    async def tail(self, job: JobView, count: int) -> Tail | None:
        pods = (await self._client.list(PODS, self._namespace, f"{LABEL_JOB_UID}={job.uid}")).items
        if not pods:
            return None
        newest = max(pods, key=lambda pod: str(pod["metadata"].get("creationTimestamp")))
        lines: deque[str] = deque(maxlen=count)
        total = 0
        try:
            async for line in self._reader.read_log(
                newest["metadata"]["name"], self._namespace, CONTAINER_NAME, MAX_LINES, timestamps=True
            ):
                lines.append(line[:_MAX_LINE_CHARACTERS])
                total += 1
        except (NotFoundError, InvalidError):
            return None
        return Tail(list(lines), total)


class FirstOf:
    """The first source that has the job's log."""

    def __init__(self, *sources: LogSource) -> None:
        self._sources = sources

    async def tail(self, job: JobView, count: int) -> Tail | None:
        for source in self._sources:
            found = await source.tail(job, count)
            if found is not None:
                return found
        return None


def parse_line(text: str) -> LogLine:
    """A line of `log.txt`: `2026-01-01T12:00:00.123Z text`."""
    first, _, rest = text.partition(" ")
    if len(first) < 20 or not first[0].isdigit():
        return LogLine(None, text)
    try:
        time = datetime.fromisoformat(first)
    except ValueError:
        return LogLine(None, text)
    return LogLine(time, rest) if time.tzinfo else LogLine(None, text)
