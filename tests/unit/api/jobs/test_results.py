from pathlib import Path
from typing import Any

import pytest

from fettle_api.files.workspace import Workspace
from fettle_api.jobs.logs import WorkspaceLogs
from fettle_api.jobs.results import Results, is_published
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job

DIRECTORY = "jobs/demo-0123abcd/attempts"


def job(**status: Any) -> JobView:
    metadata = {"name": "demo", "uid": "0123abcd-0000", "creationTimestamp": "2026-01-01T12:00:00Z"}
    return view_job({"metadata": metadata, "spec": {"baseModel": {"id": "a/b"}}, "status": status})


def results(root: Path) -> Results:
    return Results(None, Workspace(root), WorkspaceLogs(Workspace(root)))  # type: ignore[arg-type] # reads no resource


def make(root: Path, *names: str, is_complete: bool = True) -> None:
    for name in names:
        (root / DIRECTORY / name).mkdir(parents=True)
        if is_complete:
            (root / DIRECTORY / name / "fettle-checkpoint.json").write_text("{}")


async def test_the_highest_step_comes_first_and_the_last_attempt_counts(tmp_path: Path) -> None:
    make(tmp_path, "1/checkpoints/checkpoint-9", "1/checkpoints/checkpoint-100", "10/checkpoints/checkpoint-100")
    make(tmp_path, "2/checkpoints/checkpoint-100", "2/checkpoints/checkpoint-20")
    found = await results(tmp_path).checkpoints(job())
    assert [checkpoint.step for checkpoint in found] == [100, 20, 9]
    assert found[0].path == f"{DIRECTORY}/10/checkpoints/checkpoint-100"


async def test_what_was_never_complete_does_not_count(tmp_path: Path) -> None:
    make(tmp_path, "1/checkpoints/checkpoint-5", is_complete=False)
    assert await results(tmp_path).checkpoints(job()) == []


async def test_what_a_trainer_planted_does_not_count(tmp_path: Path) -> None:
    root = tmp_path / "workspace"
    make(root, "1/checkpoints/checkpoint-5", "1/checkpoints/checkpoint-x", "x/checkpoints/checkpoint-6")
    make(root, "1/checkpoints/checkpoint-99999999999", "1/checkpoints/.checkpoint-7")
    (root / DIRECTORY / "1/checkpoints/checkpoint-8").symlink_to(root / DIRECTORY / "1/checkpoints/checkpoint-5")
    (root / DIRECTORY / "2").symlink_to(root / DIRECTORY / "1")
    assert [checkpoint.name for checkpoint in await results(root).checkpoints(job())] == ["checkpoint-5"]


async def test_a_job_without_files_has_none(tmp_path: Path) -> None:
    assert await results(tmp_path).checkpoints(job()) == []


async def test_only_what_was_published_counts_as_files(tmp_path: Path) -> None:
    (tmp_path / "adapters/x").mkdir(parents=True)
    (tmp_path / "jobs").mkdir()
    assert await results(tmp_path).has_files("adapters/x")
    for path in ("jobs", "adapters/../jobs", "adapters/y", ""):
        assert not await results(tmp_path).has_files(path)
    assert not is_published("/adapters/x")


async def test_the_series_without_the_log(tmp_path: Path) -> None:
    lines = [
        f'{{"time": "2026-01-01T12:00:0{step}Z", "attempt": 1, "kind": "step", "step": {step}}}' for step in (1, 2, 3)
    ]
    (tmp_path / "jobs/demo-0123abcd").mkdir(parents=True)
    (tmp_path / "jobs/demo-0123abcd/metrics.jsonl").write_text("\n".join(lines))
    found = await results(tmp_path).series(job(), 2)
    assert ([event.step for event in found.events], found.event_count, found.lines) == ([2, 3], 3, ())
    assert (await results(tmp_path / "nowhere").series(job(), 2)).event_count == 0


@pytest.mark.parametrize(
    ("content", "status", "found"),
    [
        (
            '{"exitCode": 0, "metrics": {"tokens": 7}}',
            {"phase": "Succeeded", "attempts": {"current": 2}},
            {"tokens": 7},
        ),
        ('{"exitCode": 0, "metrics": {"tokens": 7}}', {"phase": "Running", "attempts": {"current": 2}}, {}),
        ('{"exitCode": 0, "metrics": {"tokens": 7}}', {"phase": "Succeeded"}, {}),
        ("[" * 100_000, {"phase": "Succeeded", "attempts": {"current": 2}}, {}),
        ('{"metrics": 7}', {"phase": "Failed", "attempts": {"current": 2}}, {}),
    ],
)
async def test_final_numbers_are_those_of_the_last_attempt(
    tmp_path: Path, content: str, status: dict[str, Any], found: dict[str, Any]
) -> None:
    (tmp_path / DIRECTORY / "2").mkdir(parents=True)
    (tmp_path / DIRECTORY / "2/result.json").write_text(content)
    assert await results(tmp_path).final_metrics(job(**status)) == found
