"""Two processes under torchrun: the weights of one, a stop that all agree upon, and an end when one of them ends."""

import os
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.outcomes import CLOSE, assert_equal_outcome, largest_difference
from tests.support.process_tree import descendants, is_alive, process_of_rank
from tests.support.runs import PATIENCE_SECONDS, RunFiles, finish_run, run_config, start_run, write_run
from tests.support.tiny_model import make_workspace, message_rows, write_rows
from tests.support.training_data import ROWS
from tests.support.warm_training import train

TWO = {"processesPerNode": 2}
SAME_STEPS: dict[str, Any] = {
    "adapter": {"dropout": 0.0},
    "hyperparameters": {"batchSize": 2, "gradientAccumulationSteps": 2},
    "topology": TWO,
}
"""The steps of `without_dropout`, shared by two processes. Dropout differs between them: see test_resume_matrix."""
DEADLINE_SECONDS = 60.0
"""Far below the 30 minutes that libraries wait for each other, far above what a busy machine needs."""


@pytest.fixture(scope="module")
def two_uninterrupted(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFiles:
    """Eight steps of two processes with accumulation; read only."""
    workspace = make_workspace(tmp_path_factory.mktemp("two") / "workspace", tiny_model)
    files = write_run(workspace, run_config(**SAME_STEPS))
    assert finish_run(files) == 0, files.log()
    return files


def test_two_processes_give_the_weights_of_one(two_uninterrupted: RunFiles, without_dropout: RunFiles) -> None:
    assert two_uninterrupted.losses() == pytest.approx(without_dropout.losses(), abs=CLOSE)
    assert largest_difference(two_uninterrupted, without_dropout) < CLOSE
    assert two_uninterrupted.result()["metrics"]["tokens"] == without_dropout.result()["metrics"]["tokens"]


def test_only_the_first_process_speaks(two_uninterrupted: RunFiles) -> None:
    steps = [event["step"] for event in two_uninterrupted.events() if event["kind"] == "step"]
    assert steps == list(range(1, 9))
    assert two_uninterrupted.log().count("step 8/8") == 1
    assert two_uninterrupted.termination() == two_uninterrupted.result()


def test_stopped_by_sigterm_then_continued_is_bit_equal(workspace: Path, two_uninterrupted: RunFiles) -> None:
    first = write_run(workspace, run_config(**SAME_STEPS))
    process = start_at_step(first, 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(DEADLINE_SECONDS) == 85, first.log()
    stopped_at = first.termination()["step"]
    assert 2 <= stopped_at < 8

    second = write_run(workspace, run_config(job={"attempt": 2}, **SAME_STEPS))
    assert finish_run(second) == 0, second.log()
    assert second.result()["startedFromStep"] == stopped_at
    assert_equal_outcome(second, two_uninterrupted)


def test_one_killed_process_ends_the_run_with_75(workspace: Path) -> None:
    files = write_run(workspace, run_config(hyperparameters={"maxSteps": 100_000}, topology=TWO))
    supervisor = start_at_step(files, 2)
    processes = descendants(supervisor.pid)
    victim = process_of_rank(supervisor.pid, 1)
    assert victim is not None
    os.kill(victim, signal.SIGKILL)

    assert supervisor.wait(DEADLINE_SECONDS) == 75, files.log()
    failure = files.termination()["failure"]
    assert failure["code"] == "InfrastructureError"
    assert "training process 1 ended without a word" in failure["message"]
    assert not any(map(is_alive, processes))


@pytest.mark.slow
def test_a_process_dies_with_its_supervisor(workspace: Path) -> None:
    files = write_run(workspace, run_config(hyperparameters={"maxSteps": 100_000}, topology=TWO))
    supervisor = start_at_step(files, 2)
    processes = descendants(supervisor.pid)
    supervisor.kill()
    supervisor.wait()

    deadline = time.monotonic() + DEADLINE_SECONDS
    while any(map(is_alive, processes)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_stopped_during_an_evaluation(workspace: Path) -> None:
    write_rows(workspace / "datasets" / "many.jsonl", message_rows(20_000))
    dataset = {
        "source": {"workspace": {"path": "datasets/train.jsonl"}},
        "evaluation": {"source": {"workspace": {"path": "datasets/many.jsonl"}}},
    }
    settings = {"evaluationSteps": 2, "evalBatchSize": 1, "maxSteps": 3}
    files = write_run(workspace, run_config(dataset=dataset, hyperparameters=settings, topology=TWO))
    process = start_at_step(files, 2)
    process.send_signal(signal.SIGTERM)

    assert process.wait(DEADLINE_SECONDS) == 85, files.log()
    assert files.termination()["step"] == 2


@pytest.mark.slow
def test_failure_of_all_is_told_as_that_of_one(workspace: Path) -> None:
    files = write_run(workspace, run_config(hyperparameters={"maxLength": 8}, topology=TWO))

    assert finish_run(files) == 65, files.log()
    assert "within maxLength (8 tokens)" in files.termination()["failure"]["message"]
    assert files.termination()["failure"]["hint"]


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dpo", "orpo"])
def test_preferences_too(workspace: Path, method: str) -> None:
    write_rows(workspace / "datasets" / "train.jsonl", ROWS[method](24))
    common: dict[str, Any] = {"method": method, "adapter": {"dropout": 0.0}}
    settings = {"beta": 0.1, "batchSize": 2}
    one = write_run(workspace, run_config(**common, hyperparameters={**settings, "gradientAccumulationSteps": 4}))
    other = {"job": {"attempt": 2}, "directory": "jobs/other", "topology": TWO}
    settings["gradientAccumulationSteps"] = 2
    two = write_run(workspace, run_config(**common, **other, hyperparameters=settings))

    assert train(one) == 0, one.log()
    assert finish_run(two) == 0, two.log()
    assert two.losses() == pytest.approx(one.losses(), abs=CLOSE)
    assert largest_difference(one, two) < CLOSE


@pytest.mark.slow
def test_kto_learns_in_two_processes(workspace: Path) -> None:
    """Its KL term is estimated from the micro-batches of all processes, so that the weights are not those of one."""
    write_rows(workspace / "datasets" / "train.jsonl", ROWS["kto"](24))
    settings = {"beta": 0.1, "desirableWeight": 1.0, "undesirableWeight": 1.0}
    files = write_run(workspace, run_config(method="kto", hyperparameters=settings, topology=TWO))

    assert finish_run(files) == 0, files.log()
    losses = files.losses()
    assert min(losses[7], losses[8]) < losses[1]


def start_at_step(files: RunFiles, step: int, **changes: Any) -> "subprocess.Popen[str]":
    """A run that has come to `step`."""
    process = start_run(files, **changes)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while step not in files.losses():
        assert process.poll() is None, files.log()
        assert time.monotonic() < deadline, files.log()
        time.sleep(0.01)
    return process
