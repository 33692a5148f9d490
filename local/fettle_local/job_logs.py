"""Logs of a training job on one machine: `log.txt` of the job, or what its newest pod printed before that exists."""

from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path

from fettle_client.protocol import PODS, Manifest, NotFoundError, ResourceClient
from fettle_local.home import Home
from fettle_schema.layout import LOG_FILE
from fettle_schema.names import LABEL_JOB_UID, job_directory


async def log_file(client: ResourceClient, home: Home, job: Manifest) -> Path | None:
    """The file that holds the job's log now; None before anything was printed."""
    metadata = job["metadata"]
    written = home.workspace / job_directory(metadata["name"], metadata["uid"]) / LOG_FILE
    if written.is_file():
        return written
    pods = (await client.list(PODS, metadata["namespace"], f"{LABEL_JOB_UID}={metadata['uid']}")).items
    for pod in sorted(pods, key=lambda pod: int(pod["metadata"]["resourceVersion"]), reverse=True):
        printed = _pod_log(home, pod)
        if printed.is_file():
            return printed
    return None


class LocalPodLogs:
    """What the facade asks for the log of a pod."""

    def __init__(self, client: ResourceClient, home: Home) -> None:
        self._client = client
        self._home = home

    async def read_log(
        self,
        name: str,
        namespace: str,
        container: str | None = None,
        tail_lines: int | None = None,
        follow: bool = False,
        timestamps: bool = False,
    ) -> AsyncIterator[str]:
        """The last lines that a pod printed until now, with the times that it wrote itself; raises NotFoundError."""
        path = _pod_log(self._home, await self._client.get(PODS, name, namespace))
        if not path.is_file():
            raise NotFoundError(404, "NotFound", f"pod {name!r} has no log yet")
        with path.open(encoding="utf-8", errors="replace") as file:
            for line in deque(file, tail_lines):
                yield line.rstrip("\n")


def _pod_log(home: Home, pod: Manifest) -> Path:
    return home.pod_directory(pod["metadata"]["name"], pod["metadata"]["uid"]) / "log.txt"
