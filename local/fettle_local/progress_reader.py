"""Progress of local runs: reads `metrics.jsonl` of jobs whose pod runs and writes `status.progress` and `checkpoints`.

It does what the receiver does on a cluster, and no more: it never writes a condition.
"""

import asyncio
import logging
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from fettle_client.protocol import TRAINING_JOBS, ConflictError, Manifest, NotFoundError, ResourceClient
from fettle_schema.layout import METRICS_FILE
from fettle_schema.names import FIELD_MANAGER_RECEIVER, LABEL_JOB, LABEL_JOB_UID, job_directory
from fettle_schema.progress import merge_progress
from fettle_schema.run import ProgressEvent
from fettle_schema.status import Checkpoint, Progress

_log = logging.getLogger(__name__)


@dataclass
class JobMetrics:
    """What was read of one job's `metrics.jsonl` so far."""

    path: Path
    offset: int = 0
    progress: Progress | None = None
    checkpoints: list[Checkpoint] = field(default_factory=list)

    def read(self) -> bool:
        """Read the lines that are complete since the last call; whether there were any."""
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                text = file.read()
        except FileNotFoundError:
            return False
        complete = text[: text.rfind(b"\n") + 1]
        self.offset += len(complete)
        events = [event for line in complete.splitlines() if (event := _event(line)) is not None]
        for event in events:
            self.progress, self.checkpoints = merge_progress(self.progress, self.checkpoints, event)
        return bool(events)

    def status(self) -> Manifest:
        """The two fields of status that the receiver owns."""
        progress = self.progress or Progress()
        return {"progress": progress.manifest(), "checkpoints": [item.manifest() for item in self.checkpoints]}


@dataclass
class _Followed:
    namespace: str
    name: str
    uid: str
    metrics: JobMetrics
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class ProgressReader:
    """Feed it pods by `observe`; `run` reads until it is cancelled, each job at most once in `interval_seconds`."""

    def __init__(self, client: ResourceClient, workspace: Path, interval_seconds: float = 0.5) -> None:
        self._client = client
        self._workspace = workspace
        self._interval_seconds = interval_seconds
        self._jobs: dict[str, _Followed] = {}

    def observe(self, pod: Manifest) -> None:
        """Follow the job of a pod that runs."""
        phase = (pod.get("status") or {}).get("phase")
        if phase == "Running":
            self._follow(pod)
        elif phase in ("Succeeded", "Failed"):  # `finish` has read it
            self._jobs.pop((pod["metadata"].get("labels") or {}).get(LABEL_JOB_UID, ""), None)

    async def finish(self, pod: Manifest) -> None:
        """Read the job of a pod that has ended for the last time."""
        followed = self._follow(pod)
        if followed is not None:
            await self._read(followed)
            self._jobs.pop(followed.uid, None)

    async def run(self) -> None:
        """Read and write until cancelled."""
        while True:
            await self.read_once()
            await asyncio.sleep(self._interval_seconds)

    async def read_once(self) -> None:
        """Bring the status of every followed job up to date."""
        for followed in list(self._jobs.values()):
            await self._read(followed)

    def _follow(self, pod: Manifest) -> _Followed | None:
        metadata = pod["metadata"]
        name, uid = (metadata.get("labels", {}).get(label) for label in (LABEL_JOB, LABEL_JOB_UID))
        if not name or not uid:
            return None
        path = self._workspace / job_directory(name, uid) / METRICS_FILE
        return self._jobs.setdefault(uid, _Followed(metadata["namespace"], name, uid, JobMetrics(path)))

    async def _read(self, followed: _Followed) -> None:
        async with followed.lock:
            if await asyncio.to_thread(followed.metrics.read):
                await self._write(followed)

    async def _write(self, followed: _Followed) -> None:
        try:
            await self._client.apply_status(
                *(TRAINING_JOBS, followed.name, followed.namespace, followed.metrics.status()),
                field_manager=FIELD_MANAGER_RECEIVER,
                uid=followed.uid,
            )
        except (NotFoundError, ConflictError):
            self._jobs.pop(followed.uid, None)


def _event(line: bytes) -> ProgressEvent | None:
    try:
        return ProgressEvent.model_validate_json(line)
    except ValidationError:
        _log.warning(
            "a line of metrics.jsonl is not a progress event", extra={"line": line[:200].decode(errors="replace")}
        )
        return None
