"""What a process knows about itself before torch is there."""

import subprocess
import sys
from pathlib import Path

import pytest

from fettle_trainer.distributed import Processes
from fettle_trainer.rank_results import read_results

OF_TORCHRUN = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}


@pytest.mark.parametrize("environment", [{}, {"RANK": "0"}, {"RANK": "", "WORLD_SIZE": "2", "LOCAL_RANK": "0"}])
def test_without_torchrun_a_process_is_alone_and_agrees_with_itself(environment: dict[str, str]) -> None:
    alone = Processes.of(environment)

    assert alone == Processes()
    assert alone.is_first
    assert alone.is_alone
    assert alone.add_up(1, 20) == [1, 20]
    assert alone.from_first("value") == "value"
    assert alone.lost_peer(RuntimeError("gloo: connection closed by peer")) is None


def test_torchrun_tells_a_process_its_place() -> None:
    processes = Processes.of({**OF_TORCHRUN, "FETTLE_RANK_RESULTS": "ranks/0"})

    assert processes == Processes(rank=3, count=4, local_rank=1, results=Path("ranks/0"))
    assert not processes.is_first
    assert not processes.is_alone


def test_only_the_first_process_reports_and_all_keep_their_warnings(tmp_path: Path) -> None:
    for rank in range(2):
        progress = Processes(rank=rank, count=2).progress_log(tmp_path / f"{rank}.jsonl", attempt=1)
        progress.warn("a warning")
        assert progress.warnings == ["a warning"]

    assert (tmp_path / "0.jsonl").exists()
    assert not (tmp_path / "1.jsonl").exists()


@pytest.mark.parametrize(("exit_code", "status"), [(0, 0), (85, 0), (65, 65), (76, 76), (1, 1)])
def test_torchrun_sees_a_failure_only_where_there_is_one(tmp_path: Path, exit_code: int, status: int) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom fettle_trainer.distributed import Processes\n"
        f"sys.exit(Processes(rank=1, count=2).leave(Path(sys.argv[1]), {{'exitCode': {exit_code}}}))"
    )
    process = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)

    assert process.returncode == status
    assert read_results(tmp_path) == {1: {"exitCode": exit_code}}
