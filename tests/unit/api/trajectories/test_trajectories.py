import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from fettle_api.datasets.preview import Previews
from fettle_api.datasets.service import Datasets
from fettle_api.errors import BodyError, TrajectoryNotFoundError
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.outbound import Outbound
from fettle_api.trajectories.files import Kept
from fettle_api.trajectories.service import Trajectories

CALL = {"systemPrompt": "You are helpful.", "userPrompt": "What is a pod?", "response": "A group of containers."}


def ticking() -> Callable[[], datetime]:
    times = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second) for second in range(10_000))
    return lambda: next(times)


@pytest.fixture
def trajectories(tmp_path: Path) -> Trajectories:
    files, writer, clock = Workspace(tmp_path), WorkspaceWriter(tmp_path), ticking()
    datasets = Datasets(files, writer, Previews(tmp_path, 2**30, 20), clock, Outbound(), 2**20)
    return Trajectories(files, writer, datasets, clock)


def body(name: str | None = None, calls: int = 1, **more: Any) -> bytes:
    named = {"id": name} if name else {}
    made = [{**CALL, "response": f"The answer is number {number}."} for number in range(calls)]
    return json.dumps({**named, "llmCalls": made, **more}).encode()


async def names(trajectories: Trajectories, offset: int = 0, limit: int = 100) -> list[str]:
    return [summary.id for summary in (await trajectories.page(offset, limit))[0]]


async def test_what_came_is_listed_newest_first_and_shown(trajectories: Trajectories) -> None:
    for name in ("a", "b", "c"):
        await trajectories.ingest(body(name, calls=2, source="chat"))
    assert await names(trajectories) == ["c", "b", "a"]
    assert await names(trajectories, 1, 1) == ["b"]
    assert await names(trajectories, 5) == []
    summaries, total = await trajectories.page(0, 1)
    assert (total, summaries[0].llm_call_count, summaries[0].source) == (3, 2, "chat")
    assert len((await trajectories.get("b")).llm_calls) == 2


async def test_its_own_time_decides_then_order_of_arrival(trajectories: Trajectories) -> None:
    lines = [{"id": "old", "startTime": 5}, {"id": "first", "startTime": 9}, {"id": "second", "startTime": 9}]
    await trajectories.ingest("\n".join(map(json.dumps, lines)).encode())
    assert await names(trajectories) == ["second", "first", "old"]


async def test_the_same_again_is_one(trajectories: Trajectories, tmp_path: Path) -> None:
    assert (await trajectories.ingest(body())).kept == Kept(created=1)
    (before,) = (tmp_path / "trajectories").iterdir()
    again = await trajectories.ingest(body("x", startTime=5))
    assert again.kept == Kept(created=1)
    assert (await trajectories.ingest(body("x", startTime=5))).kept == Kept(unchanged=1)
    grown = await trajectories.ingest(body("x", calls=3, startTime=4))
    assert grown.kept == Kept(updated=1)
    assert (await trajectories.page(0, 10))[1] == 2
    assert len((await trajectories.get("x")).llm_calls) == 3
    assert before in (tmp_path / "trajectories").iterdir()


async def test_without_an_id_the_content_decides(trajectories: Trajectories) -> None:
    first = await trajectories.ingest(body(startTime=5))
    assert (await trajectories.ingest(body(startTime=5))).kept == Kept(unchanged=1)
    assert (await trajectories.get(first.trajectories[0].id or "")).start_time == 5


async def test_all_or_none(trajectories: Trajectories, tmp_path: Path) -> None:
    with pytest.raises(BodyError):
        await trajectories.ingest(body("a") + b"\n{}")
    assert not (tmp_path / "trajectories").exists()


@pytest.mark.parametrize("name", ["", "x", "../a", "a\0", "\ud800", "x" * 10_000])
async def test_what_is_not_there(trajectories: Trajectories, name: str) -> None:
    with pytest.raises(TrajectoryNotFoundError):
        await trajectories.get(name)


async def test_planted_files_do_no_harm(trajectories: Trajectories, tmp_path: Path) -> None:
    await trajectories.ingest(body("a"))
    (good,) = (tmp_path / "trajectories").iterdir()
    (tmp_path / "secret").write_text("the secret")
    (good.parent / f"{'9' * 15}-{'0' * 17}-{'a' * 32}.jsonl").symlink_to(tmp_path / "secret")
    (good.parent / f"{'8' * 15}-{'0' * 17}-{'b' * 32}.jsonl").write_text('{"id": 5}\n[')
    (good.parent / f"{'7' * 15}-{'0' * 17}-{'c' * 32}.jsonl").mkdir()
    (good.parent / "else.txt").write_text("x")
    assert await names(trajectories) == ["a"]
    assert (await trajectories.build(10, 1)).newest is not None


async def test_a_dataset_is_built_newest_first(trajectories: Trajectories, tmp_path: Path) -> None:
    await trajectories.ingest(body("a", calls=2))
    await trajectories.ingest(body("b", calls=1))
    dataset = await trajectories.build(10, 1)
    description = dataset.description
    assert description is not None
    assert description.trajectories is not None
    assert (description.example_count, description.trajectories.example_counts) == (3, [1, 2])
    rows = (tmp_path / dataset.path / "v1/data.jsonl").read_text().splitlines()
    assert [json.loads(row)["messages"][2]["content"][-2:] for row in rows] == ["0.", "0.", "1."]


async def test_the_same_examples_are_the_same_dataset(trajectories: Trajectories) -> None:
    await trajectories.ingest(body("a", calls=2))
    first = await trajectories.build(10, 1)
    await trajectories.ingest(body("b"))
    second = await trajectories.build(10, 1)
    assert [dataset.name for dataset in await trajectories.datasets()] == [second.name, first.name]
    again = await trajectories.build(10, 2)
    assert again.name == first.name
    assert [dataset.name for dataset in await trajectories.datasets()] == [first.name, second.name]
    assert (await trajectories.latest()).name == first.name


async def test_an_empty_dataset_is_not_the_latest(trajectories: Trajectories) -> None:
    empty = await trajectories.build(10, 1)
    assert empty.description is not None
    assert empty.description.example_count == 0
    await trajectories.ingest(body("a"))
    assert (await trajectories.latest()).name != empty.name


async def test_a_cut_keeps_the_newest_trajectories(trajectories: Trajectories, tmp_path: Path) -> None:
    for name, calls in (("a", 3), ("b", 2), ("c", 1)):
        await trajectories.ingest(body(name, calls=calls))
    dataset = await trajectories.build(10, 1)
    for _ in range(2):
        source = await trajectories.source(dataset, 2)
        assert source.workspace is not None
        assert (source.workspace.path, source.workspace.version) == (dataset.path, "newest-2")
        assert len((tmp_path / dataset.path / "newest-2/data.jsonl").read_text().splitlines()) == 3
        dataset = (await trajectories.datasets())[0]
        assert dataset.newest is not None
        assert dataset.newest.name == "v1"
    for count in (None, 3, 50):
        whole = await trajectories.source(dataset, count)
        assert whole.workspace is not None
        assert whole.workspace.version == "v1"
