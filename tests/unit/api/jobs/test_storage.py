from pathlib import Path

import pytest

from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.jobs.storage import JobStorage, JobUsage
from fettle_api.resources.views import view_job

STEP = '{"kind": "step", "step": 1}\n'


def job(root: Path, name: str = "demo-01234567") -> Path:
    path = root / "jobs" / name
    path.mkdir(parents=True)
    return path


def storage_of(root: Path) -> JobStorage:
    return JobStorage(Workspace(root), WorkspaceWriter(root))


async def test_an_empty_workspace(tmp_path: Path) -> None:
    assert await storage_of(tmp_path).usage() == JobUsage(0, 0)


async def test_all_files_count_and_links_do_not(tmp_path: Path) -> None:
    path = job(tmp_path)
    (path / "log.txt").write_text("x" * 100)
    (path / "attempts/1/checkpoints").mkdir(parents=True)
    (path / "attempts/1/checkpoints/weights").write_text("x" * 1000)
    (path / "link").symlink_to("/etc/passwd")
    (path / "loop").symlink_to(path)
    (tmp_path / "jobs/other").symlink_to("/usr")
    assert await storage_of(tmp_path).usage() == JobUsage(1100, 0)


async def test_logged_steps_are_counted_as_they_come(tmp_path: Path) -> None:
    now = 0.0
    storage = JobStorage(Workspace(tmp_path), WorkspaceWriter(tmp_path), lambda: now)
    metrics = job(tmp_path) / "metrics.jsonl"
    metrics.write_text(STEP + '{"kind":"stage"}\n' + STEP + '{"kind": "st')
    assert (await storage.usage()).report_count == 2
    with metrics.open("a") as file:
        file.write('ep"}\n' + STEP)
    assert (await storage.usage()).report_count == 2, "it was counted a moment ago"
    now = 60.0
    assert (await storage.usage()).report_count == 4
    metrics.write_text(STEP)
    now = 120.0
    assert (await storage.usage()).report_count == 1


@pytest.mark.parametrize(("phase", "stays"), [("Succeeded", False), ("Failed", False), ("Running", True)])
async def test_files_of_a_deleted_job_go_once_it_has_ended(tmp_path: Path, phase: str, stays: bool) -> None:
    path = job(tmp_path)
    (path / "log.txt").write_text("x")
    metadata = {"name": "demo", "uid": "01234567-89ab", "creationTimestamp": "2026-01-01T12:00:00Z"}
    view = view_job({"metadata": metadata, "spec": {"baseModel": {"id": "a/b"}}, "status": {"phase": phase}})
    storage = storage_of(tmp_path)
    await storage.remove(view)
    assert path.exists() is stays
    await storage.remove(view)
