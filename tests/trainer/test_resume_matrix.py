"""Resume from any step is bit-equal to the uninterrupted run, for what keeps state of its own: dropout, accumulation,
packing, a reference model, and each of several processes.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.outcomes import copy_job
from tests.support.runs import RunFiles, finish_run, run_config, write_run
from tests.support.tiny_model import make_workspace, write_rows
from tests.support.training_data import ROWS
from tests.support.warm_training import train

pytestmark = pytest.mark.slow

RUNS: dict[str, dict[str, Any]] = {
    "sft, dropout": {"hyperparameters": {"gradientAccumulationSteps": 1}},
    "sft, dropout, accumulation": {"hyperparameters": {"gradientAccumulationSteps": 3}},
    "sft, dropout, accumulation, packing": {"hyperparameters": {"packing": True, "maxLength": 256}},
    "dpo, dropout": {"method": "dpo", "hyperparameters": {"beta": 0.1, "gradientAccumulationSteps": 1}},
    "dpo, dropout, accumulation": {"method": "dpo", "hyperparameters": {"beta": 0.1, "gradientAccumulationSteps": 2}},
}
RESUMED_STEPS = (1, 4, 7)
"""Within the first pass over the data, at its end or later, and before the last step."""


@pytest.fixture(scope="module", params=[1, 2], ids=["one process", "two processes"])
def processes(request: pytest.FixtureRequest) -> int:
    assert isinstance(request.param, int)
    return request.param


@pytest.fixture(scope="module", params=RUNS)
def whole_run(
    request: pytest.FixtureRequest, processes: int, tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunFiles, dict[str, Any]]:
    """An uninterrupted run that keeps the checkpoint of every step, and its RunConfig."""
    workspace = make_workspace(tmp_path_factory.mktemp("matrix") / "workspace", tiny_model)
    changes = RUNS[request.param]
    if changes.get("method") in ROWS:
        write_rows(workspace / "datasets" / "train.jsonl", ROWS[changes["method"]](24))
    checkpoint, topology = {"everySteps": 1, "keepLast": 10}, {"processesPerNode": processes}
    config = run_config(**changes, checkpoint=checkpoint, topology=topology)
    files = write_run(workspace, config)
    assert run_of(processes)(files) == 0, files.log()
    return files, config


@pytest.mark.parametrize("step", RESUMED_STEPS)
def test_resumed_run_is_the_uninterrupted_one(
    whole_run: tuple[RunFiles, dict[str, Any]], processes: int, tmp_path: Path, step: int
) -> None:
    uninterrupted, config = whole_run
    workspace = tmp_path / "workspace"
    for directory in ("models", "datasets"):
        shutil.copytree(uninterrupted.workspace / directory, workspace / directory)
    copy_job(uninterrupted, workspace)
    resumed = write_run(workspace, {**config, "job": {**config["job"], "attempt": 2}})
    for checkpoint in (resumed.directory / "attempts/1/checkpoints").iterdir():
        if int(checkpoint.name.rpartition("-")[2]) > step:
            shutil.rmtree(checkpoint)

    assert run_of(processes)(resumed) == 0, resumed.log()
    assert resumed.result()["startedFromStep"] == step
    again = {event["step"]: event["loss"] for event in resumed.events() if event["attempt"] == 2 and "loss" in event}
    assert again == {number: loss for number, loss in uninterrupted.losses().items() if number > step}
    assert resumed.result()["output"] == uninterrupted.result()["output"]
    assert resumed.result()["metrics"]["tokens"] == uninterrupted.result()["metrics"]["tokens"]


def run_of(processes: int) -> Callable[[RunFiles], int]:
    """Several processes are started by torchrun, which only a supervisor calls."""
    return train if processes == 1 else finish_run
