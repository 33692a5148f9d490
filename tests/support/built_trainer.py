"""The trainer that a run assembles, to look into."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fettle_schema.defaults import METHODS_WITH
from fettle_schema.run import RunConfig
from fettle_schema.training_job import Method
from tests.support.runs import run_config
from tests.support.tiny_model import message_rows, write_rows
from tests.support.training_data import ROWS


@contextmanager
def built(workspace: Path, method: Method, **changes: Any) -> Iterator[Any]:
    """The trainer of a run, before it trains; the workspace gets rows that fit the method."""
    from fettle_trainer.job_files import job_files
    from fettle_trainer.progress import ProgressLog
    from fettle_trainer.run import method_of
    from fettle_trainer.stopping import StopFlag
    from fettle_trainer.training import assemble, load_parts
    from fettle_trainer.training_run import Run

    write_rows(workspace / "datasets" / "train.jsonl", ROWS.get(str(method), message_rows)(12))
    dataset = {"source": {"workspace": {"path": "datasets/train.jsonl"}}, "evaluation": {"fraction": 0.25}}
    config = RunConfig.model_validate(run_config(method=str(method), dataset=dataset, **changes))
    files = job_files(workspace, config.directory, 1)
    files.attempt_directory.mkdir(parents=True, exist_ok=True)
    run = Run(config, files, ProgressLog(files.metrics, 1), StopFlag())
    parts = load_parts(run, method_of(config), files.attempt_directory / "encoded")
    yield assemble(run, method_of(config), parts, None)


def settings_of(method: Method) -> dict[str, Any]:
    """What a resolved RunConfig holds for the method."""
    usual = {
        "beta": 0.1,
        "maxPromptLength": 100,
        "desirableWeight": 1.0,
        "undesirableWeight": 1.0,
        "cpoAlpha": 1.0,
        "simpoGamma": 0.5,
    }
    return {name: value for name, value in usual.items() if method in METHODS_WITH[name]}
