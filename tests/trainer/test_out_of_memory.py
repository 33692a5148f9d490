"""Memory that does not suffice for a micro-batch: a smaller one, the same training, and a word about it."""

from pathlib import Path
from typing import Any

import pytest

from fettle_trainer.finishing import RECORD_FILE
from tests.support.outcomes import CLOSE, adapter_weights, largest_difference
from tests.support.runs import RunFiles, finish_run, run_config, write_run
from tests.support.scarcity import scarce_memory
from tests.support.tiny_model import write_rows
from tests.support.training_data import ROWS

LARGE = {"batchSize": 4, "gradientAccumulationSteps": 2}
"""What `without_dropout` does in half of the memory."""
SENTENCE = (
    "batchSize 4 does not fit into memory: the run goes on with batchSize 2 and gradientAccumulationSteps 4, "
    "which is the same training"
)


def test_the_run_goes_on_as_if_the_smaller_micro_batch_had_been_asked_for(
    workspace: Path, without_dropout: RunFiles
) -> None:
    files = write_run(workspace, large_run())

    assert finish_run(files, **scarce_memory(rows=2)) == 0, files.log()
    assert files.losses() == without_dropout.losses()
    assert adapter_weights(files) == adapter_weights(without_dropout)
    assert files.result()["warnings"] == [SENTENCE]
    assert "out of memory with a micro-batch of 4" in files.log()


@pytest.mark.slow
def test_memory_that_runs_out_late_costs_no_checkpoint_and_is_remembered(
    workspace: Path, without_dropout: RunFiles
) -> None:
    first = write_run(workspace, large_run(everySteps=3))

    assert finish_run(first, **scarce_memory(rows=2, SCARCE_MEMORY_FROM_STEP="5")) == 0, first.log()
    assert first.result()["startedFromStep"] == 3
    assert first.losses() == pytest.approx(without_dropout.losses(), abs=CLOSE)
    assert largest_difference(first, without_dropout) < CLOSE

    (first.directory / "attempts/1" / RECORD_FILE).unlink()  # as if it had been killed before it published
    second = write_run(workspace, {**large_run(), "job": {**large_run()["job"], "attempt": 2}})
    assert finish_run(second) == 0, second.log()
    assert second.result()["warnings"] == [SENTENCE]


def test_the_smallest_micro_batch_that_does_not_fit_is_70(workspace: Path) -> None:
    write_rows(workspace / "datasets" / "train.jsonl", ROWS["kto"](24))
    settings = {"batchSize": 3, "gradientAccumulationSteps": 2, "beta": 0.1}
    files = write_run(workspace, run_config(method="kto", hyperparameters=settings))

    assert finish_run(files, **scarce_memory(rows=1)) == 70, files.log()
    failure = files.termination()["failure"]
    assert failure["code"] == "OutOfMemory"
    assert "a micro-batch of 2, the smallest that kto can use" in failure["message"]
    assert "it is estimated to need 0.9 GiB" in failure["message"]
    assert "spec.hyperparameters.batchSize" in failure["hint"]
    assert "batchSize 3 does not fit" in files.termination()["warnings"][0]


@pytest.mark.slow
def test_one_of_two_processes_is_enough(workspace: Path, without_dropout: RunFiles) -> None:
    settings = {"batchSize": 2, "gradientAccumulationSteps": 2}
    config = run_config(adapter={"dropout": 0.0}, hyperparameters=settings, topology={"processesPerNode": 2})
    files = write_run(workspace, config)

    assert finish_run(files, **scarce_memory(rows=1, SCARCE_MEMORY_RANK="1")) == 0, files.log()
    assert files.losses() == pytest.approx(without_dropout.losses(), abs=CLOSE)
    assert "batchSize 2 does not fit" in files.result()["warnings"][0]


def large_run(**checkpoint: int) -> dict[str, Any]:
    return run_config(adapter={"dropout": 0.0}, hyperparameters=LARGE, checkpoint=checkpoint)
