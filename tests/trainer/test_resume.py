"""An interrupted run ends with the same losses and the same weights, to the bit, as one that was left alone."""

import signal
import time
from pathlib import Path

from tests.support.outcomes import assert_equal_outcome, copy_job
from tests.support.runs import PATIENCE_SECONDS, RunFiles, finish_run, run_config, start_run, write_run
from tests.support.warm_training import train


def test_stopped_by_sigterm_then_continued(workspace: Path, uninterrupted: RunFiles) -> None:
    first = write_run(workspace, run_config())
    assert interrupt(first, signal.SIGTERM, at_step=2) == 85, first.log()
    stopped_at = first.termination()["step"]
    assert 2 <= stopped_at < 8
    assert not (workspace / "adapters").exists()

    second = write_run(workspace, run_config(job={"attempt": 2}))
    assert finish_run(second) == 0, second.log()
    assert second.result()["startedFromStep"] == stopped_at
    assert_equal_outcome(second, uninterrupted)


def test_killed_then_continued_in_the_same_attempt(workspace: Path, uninterrupted: RunFiles) -> None:
    files = write_run(workspace, run_config())
    assert interrupt(files, signal.SIGKILL, at_step=4) == -signal.SIGKILL

    assert train(files) == 0, files.log()
    assert files.result()["startedFromStep"] == 3
    assert_equal_outcome(files, uninterrupted)


def test_killed_between_the_last_checkpoint_and_publishing(workspace: Path, uninterrupted: RunFiles) -> None:
    copy_job(uninterrupted, workspace)

    second = write_run(workspace, run_config(job={"attempt": 2}))
    assert train(second) == 0, second.log()
    assert second.result()["startedFromStep"] == 8
    assert second.result()["output"] == uninterrupted.result()["output"]


def test_damaged_checkpoint_is_named_and_the_one_before_is_used(workspace: Path, uninterrupted: RunFiles) -> None:
    copy_job(uninterrupted, workspace)
    optimizer = workspace / "jobs/demo-1a2b3c4d/attempts/1/checkpoints/checkpoint-8/optimizer.pt"
    optimizer.write_bytes(optimizer.read_bytes()[:-100])

    second = write_run(workspace, run_config(job={"attempt": 2}))
    assert train(second) == 0, second.log()
    assert second.result()["startedFromStep"] == 6
    assert "optimizer.pt has" in second.result()["warnings"][0]
    assert second.result()["output"] == uninterrupted.result()["output"]


def interrupt(files: RunFiles, number: int, at_step: int) -> int:
    """Start a run, signal it when it has come to `at_step`, and wait for its exit code."""
    process = start_run(files)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while at_step not in files.losses():
        assert process.poll() is None, files.log()
        assert time.monotonic() < deadline, files.log()
        time.sleep(0.01)
    process.send_signal(number)
    return process.wait(PATIENCE_SECONDS)
