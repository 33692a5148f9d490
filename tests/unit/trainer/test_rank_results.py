"""Results of several processes, passed by files."""

from pathlib import Path

from fettle_trainer.rank_results import (
    clear_results,
    leave_result,
    read_results,
    results_directory,
    wait_for_directory,
    wait_for_results,
)


def test_what_is_left_is_read_by_rank(tmp_path: Path) -> None:
    directory = results_directory(tmp_path, restart=1)
    clear_results(directory)
    leave_result(directory, 0, {"exitCode": 0})
    leave_result(directory, 11, {"exitCode": 65})

    assert read_results(directory) == {0: {"exitCode": 0}, 11: {"exitCode": 65}}
    assert wait_for_results(directory, 2, seconds=60) == read_results(directory)
    assert read_results(results_directory(tmp_path, restart=0)) == {}


def test_what_is_no_result_is_left_out(tmp_path: Path) -> None:
    for name, content in {"0.json": "{", "1.json": "[]", "2.json": "{}", "x.json": '{"exitCode": 0}'}.items():
        (tmp_path / name).write_text(content)

    assert read_results(tmp_path) == {}
    assert wait_for_results(tmp_path, 1, seconds=0) == {}


def test_results_of_an_earlier_run_of_the_attempt_are_removed(tmp_path: Path) -> None:
    directory = results_directory(tmp_path, restart=0)
    clear_results(directory)
    leave_result(directory, 0, {"exitCode": 0})
    clear_results(directory)

    assert read_results(directory) == {}


def test_waiting_for_the_first_node_ends_when_it_is_there_or_there_is_no_use(tmp_path: Path) -> None:
    wait_for_directory(tmp_path, 60, is_stopped=lambda: False)
    wait_for_directory(tmp_path / "missing", 60, is_stopped=lambda: True)
    wait_for_directory(tmp_path / "missing", 0, is_stopped=lambda: False)
