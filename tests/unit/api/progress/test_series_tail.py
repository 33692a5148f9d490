from pathlib import Path

import pytest

from fettle_api.files.workspace import Workspace
from fettle_api.progress.series_tail import SeriesTail


def line(step: int) -> str:
    return f'{{"time":"2026-01-01T12:00:00Z","attempt":1,"step":{step}}}\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "jobs/demo-01234567").mkdir(parents=True)
    return tmp_path / "jobs/demo-01234567/metrics.jsonl"


@pytest.fixture
def tail(tmp_path: Path) -> SeriesTail:
    return SeriesTail(Workspace(tmp_path), "demo", "01234567-89ab")


def steps(tail: SeriesTail) -> list[int | None]:
    return [event.step for event in tail.read_new()]


def test_each_line_comes_once(tail: SeriesTail, path: Path) -> None:
    assert (steps(tail), tail.has_file) == ([], False)
    path.write_text(line(1) + line(2))
    assert (steps(tail), tail.has_file) == ([1, 2], True)
    with path.open("a") as file:
        file.write(line(3) + line(4)[:10])
    assert steps(tail) == [3]
    with path.open("a") as file:
        file.write(line(4)[10:])
    assert (steps(tail), steps(tail)) == ([4], [])


def test_what_is_skipped_tells_its_last_values(tail: SeriesTail, path: Path) -> None:
    path.write_text("".join(map(line, range(1, 2001))))
    skipped = [event.step for event in tail.skip()]
    assert skipped[-1] == 2000
    assert len(skipped) < 2000
    assert steps(tail) == []


def test_a_line_that_is_being_written_is_not_skipped(tail: SeriesTail, path: Path) -> None:
    path.write_text(line(1) + line(2)[:10])
    assert [event.step for event in tail.skip()] == [1]
    path.write_text(line(1) + line(2))
    assert steps(tail) == [2]


def test_what_is_no_report_is_left_out(tail: SeriesTail, path: Path) -> None:
    no_zone = '{"time":"2026-01-01T12:00:00","attempt":1,"step":7}\n'
    path.write_bytes(b"\xff\n[]\nnull\n\n" + no_zone.encode() + line(1).encode())
    assert steps(tail) == [1]


def test_a_file_that_was_cut_says_nothing_again(tail: SeriesTail, path: Path) -> None:
    path.write_text(line(1) + line(2))
    assert steps(tail) == [1, 2]
    path.write_text(line(1))
    assert steps(tail) == []
    with path.open("a") as file:
        file.write(line(3))
    assert steps(tail) == [3]


def test_a_line_without_end_does_not_stop_the_others(tail: SeriesTail, path: Path) -> None:
    path.write_text("x" * 2_500_000 + "\n" + line(1))
    found = [step for _ in range(5) for step in steps(tail)]
    assert found == [1]


def test_links_are_not_followed(tail: SeriesTail, path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(line(1))
    path.symlink_to(tmp_path / "elsewhere")
    assert (steps(tail), tail.skip(), tail.has_file) == ([], [], False)
