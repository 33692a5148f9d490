from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fettle_api.files.workspace import Tail, Workspace
from fettle_api.jobs.logs import FirstOf, PodLogs, WorkspaceLogs, parse_line
from fettle_api.resources.models import JobView, LogLine
from fettle_api.resources.views import view_job
from fettle_client.protocol import PODS, NotFoundError
from fettle_schema.names import LABEL_JOB_UID
from tests.support.memory_client import MemoryClient

UID = "11111111-2222-3333-4444-555555555555"


def job() -> JobView:
    spec = {"baseModel": {"id": "a/b"}}
    return view_job(
        {"metadata": {"name": "demo", "uid": UID, "creationTimestamp": "2026-01-01T12:00:00Z"}, "spec": spec}
    )


class KubeletLogs:
    def __init__(self, logs: dict[str, list[str]]) -> None:
        self.logs = logs

    async def read_log(
        self,
        name: str,
        namespace: str,
        container: str | None = None,
        tail_lines: int | None = None,
        follow: bool = False,
        timestamps: bool = False,
    ) -> AsyncIterator[str]:
        if name not in self.logs:
            raise NotFoundError(404, "NotFound", name)
        for line in self.logs[name]:
            yield line


def client_with(*pods: tuple[str, str]) -> MemoryClient:
    client = MemoryClient()
    for name, time in pods:
        metadata: dict[str, Any] = {"name": name, "namespace": "default", "labels": {LABEL_JOB_UID: UID}}
        client.seed(PODS, {"metadata": {**metadata, "creationTimestamp": time}})
    return client


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("2026-01-01T12:00:00.123Z hello  there", LogLine(datetime(2026, 1, 1, 12, 0, 0, 123000, UTC), "hello  there")),
        (
            "2026-01-01T12:00:00.123456789Z from a pod",
            LogLine(datetime(2026, 1, 1, 12, 0, 0, 123456, UTC), "from a pod"),
        ),
        ("2026-01-01T12:00:00Z", LogLine(datetime(2026, 1, 1, 12, tzinfo=UTC), "")),
        ("no time", LogLine(None, "no time")),
        ("", LogLine(None, "")),
        ("2026-01-01T12:00:00.12 no zone", LogLine(None, "2026-01-01T12:00:00.12 no zone")),
        ("2026-99-01T12:00:00.123Z x", LogLine(None, "2026-99-01T12:00:00.123Z x")),
    ],
)
def test_lines_begin_with_a_time(text: str, line: LogLine) -> None:
    assert parse_line(text) == line


async def test_the_file_comes_first(tmp_path: Path) -> None:
    path = tmp_path / "jobs/demo-11111111/log.txt"
    path.parent.mkdir(parents=True)
    path.write_text("from the file\n")
    client = client_with(("pod", "2026-01-01T12:00:00Z"))
    pods = PodLogs(client, KubeletLogs({"pod": ["from the pod"]}), "default")
    source = FirstOf(WorkspaceLogs(Workspace(tmp_path)), pods)
    assert await source.tail(job(), 10) == Tail(["from the file"], 1)
    path.unlink()
    assert await source.tail(job(), 10) == Tail(["from the pod"], 1)


async def test_the_last_lines_of_a_pod() -> None:
    client = client_with(("pod", "2026-01-01T12:00:00Z"))
    pods = PodLogs(client, KubeletLogs({"pod": ["a", "b", "c"]}), "default")
    assert await pods.tail(job(), 2) == Tail(["b", "c"], 3)
    assert await pods.tail(job(), 0) == Tail([], 3)


async def test_no_pod_or_no_log_is_no_source() -> None:
    assert await PodLogs(MemoryClient(), KubeletLogs({}), "default").tail(job(), 2) is None
    client = client_with(("pod", "2026-01-01T12:00:00Z"))
    assert await PodLogs(client, KubeletLogs({}), "default").tail(job(), 2) is None
