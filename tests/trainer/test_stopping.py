"""SIGTERM at odd moments: before anything is worth saving, and in the middle of an evaluation."""

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.runs import RunFiles, finish_run, run_config, start_run, write_run
from tests.support.tiny_model import message_rows, write_rows


def test_while_the_model_is_loaded_it_is_75(workspace: Path) -> None:
    files = write_run(workspace, run_config())

    assert stop_at(files, lambda event: event.get("stage") == "loading_model") == 75
    assert files.termination()["failure"]["hint"]
    assert not (workspace / "adapters").exists()


def test_during_an_evaluation_the_step_before_is_saved(workspace: Path) -> None:
    write_rows(workspace / "datasets" / "many.jsonl", message_rows(2000))
    dataset = {
        "source": {"workspace": {"path": "datasets/train.jsonl"}},
        "evaluation": {"source": {"workspace": {"path": "datasets/many.jsonl"}}},
    }
    settings = {"evaluationSteps": 2, "evalBatchSize": 1, "maxSteps": 3}
    config = run_config(dataset=dataset, hyperparameters=settings, checkpoint={"everySteps": 100})
    files = write_run(workspace, config)

    assert stop_at(files, lambda event: event.get("stage") == "evaluating") == 85, files.log()
    assert files.termination()["step"] == 2

    write_rows(workspace / "datasets" / "many.jsonl", message_rows(2))
    second = write_run(workspace, {**config, "job": {**config["job"], "attempt": 2}})
    assert finish_run(second) == 0, second.log()
    assert second.result()["startedFromStep"] == 2


def stop_at(files: RunFiles, is_moment: Callable[[dict[str, Any]], bool]) -> int:
    process = start_run(files)
    deadline = time.monotonic() + 180
    while not any(map(is_moment, files.events())):
        assert process.poll() is None, files.log()
        assert time.monotonic() < deadline, files.log()
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    return process.wait(90)
