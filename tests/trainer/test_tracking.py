"""What the backends keep, read back with their own tools; a second attempt goes on with the run of the first."""

import struct
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fettle_schema.run import ProgressEvent, RunConfig
from fettle_trainer.job_files import JobFiles, job_files
from fettle_trainer.tracking import open_trackers
from tests.support.runs import UID, run_config

pytestmark = [
    # what the libraries do when they are imported or closed
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def track(
    workspace: Path,
    attempt: int,
    steps: Sequence[int],
    tracking: dict[str, Any],
    exit_code: int = 0,
    **environment: str,
) -> JobFiles:
    """An attempt that reports `steps`, with an evaluation at the last of them. Loss is step / 10 + attempt."""
    config = RunConfig.model_validate(run_config(job={"attempt": attempt}, tracking=tracking))
    files = job_files(workspace, config.directory, attempt)
    files.attempt_directory.mkdir(parents=True, exist_ok=True)
    warnings: list[str] = []
    trackers = open_trackers(config, files, warnings.append, environment)
    for step in steps:
        trackers.observe(_event(attempt, kind="step", step=step, loss=step / 10 + attempt, learning_rate=0.5))
    trackers.observe(_event(attempt, kind="evaluation", step=steps[-1], eval_loss=0.25))
    trackers.close(exit_code, wait_seconds=120)
    assert warnings == []
    assert not trackers.is_stuck
    return files


def _event(attempt: int, **fields: Any) -> ProgressEvent:
    return ProgressEvent(time=datetime.now(UTC), attempt=attempt, **fields)


LOSSES_OF_TWO_ATTEMPTS = {1: 1.1, 2: 1.2, 3: 2.3, 4: 2.4}


def test_tensorboard_shows_one_run_without_the_repeated_steps(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    track(tmp_path, 1, [1, 2, 3], {"tensorboard": True}, exit_code=85)
    files = track(tmp_path, 2, [3, 4], {"tensorboard": True})

    events = EventAccumulator(str(files.directory / "tensorboard"))
    events.Reload()
    losses = {event.step: round(event.value, 5) for event in events.Scalars("train/loss")}
    assert losses == LOSSES_OF_TWO_ATTEMPTS
    assert [event.step for event in events.Scalars("train/loss")] == [1, 2, 3, 4]
    assert [(event.step, event.value) for event in events.Scalars("eval/loss")] == [(4, 0.25)]
    (text,) = events.Tensors("parameters")
    assert b"| hyperparameters.learningRate | 0.01 |" in text.tensor_proto.string_val[0]


def test_mlflow_finds_its_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_ALLOW_FILE_STORE", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "true")
    from mlflow.tracking import MlflowClient

    tracking = {"mlflow": {"experiment": "kubectl", "runName": "first"}}
    uri = (tmp_path / "store").as_uri()
    track(tmp_path, 1, [1, 2], tracking, exit_code=85, MLFLOW_TRACKING_URI=uri)
    track(tmp_path, 2, [3, 4], tracking, MLFLOW_TRACKING_URI=uri)

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("kubectl")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id])
    assert (run.info.run_name, run.info.status) == ("first", "FINISHED")
    assert run.data.tags["fettle.uid"] == UID
    assert run.data.params["hyperparameters.learningRate"] == "0.01"
    history = client.get_metric_history(run.info.run_id, "train/loss")
    assert {metric.step: round(metric.value, 5) for metric in history} == LOSSES_OF_TWO_ATTEMPTS
    assert [metric.value for metric in client.get_metric_history(run.info.run_id, "eval/loss")] == [0.25, 0.25]


def test_wandb_keeps_its_run_offline_under_the_uid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "cache"))
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    tracking = {"wandb": {"project": "kubectl", "runName": "first", "tags": ["a"], "notes": "why"}}
    files = track(tmp_path, 1, [1, 2], tracking, exit_code=85, WANDB_MODE="offline")
    second = track(tmp_path, 2, [3], tracking, WANDB_MODE="offline")

    assert len(list(second.attempt_directory.glob(f"wandb/offline-run-*-{UID}/run-{UID}.wandb"))) == 1
    (path,) = (files.attempt_directory / "wandb").glob(f"offline-run-*-{UID}/run-{UID}.wandb")
    records = read_wandb(path)
    (run,) = (record.run for record in records if record.WhichOneof("record_type") == "run")
    assert (run.run_id, run.project, run.display_name, run.notes, list(run.tags)) == (
        UID,
        "kubectl",
        "first",
        "why",
        ["a"],
    )
    parameters = {update.key: update.value_json for update in run.config.update}
    assert parameters["hyperparameters.learningRate"] == "0.01"
    rows = [
        {"".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
        for record in records
        if record.WhichOneof("record_type") == "history"
    ]
    assert [(row["_step"], row["train/loss"]) for row in rows] == [("1", "1.1"), ("2", "1.2")]
    assert rows[-1]["eval/loss"] == "0.25"


def read_wandb(path: Path) -> list[Any]:
    """All records of an offline run: a header of 7 bytes, then LevelDB's log format in blocks of 32 KiB."""
    from wandb.proto.wandb_internal_pb2 import Record

    data, position, records, begun = path.read_bytes(), 7, [], b""
    assert data.startswith(b":W&B")
    while position + 7 <= len(data):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        length, kind = struct.unpack("<HB", data[position + 4 : position + 7])
        begun += data[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last part
            records.append(Record.FromString(begun))
            begun = b""
    return records


def test_server_that_is_gone_is_a_warning_and_the_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    config = RunConfig.model_validate(run_config(tracking={"mlflow": {"experiment": "e"}}))
    warnings: list[str] = []
    environment = {"MLFLOW_TRACKING_URI": "http://someone:hunter2@127.0.0.1:9"}
    trackers = open_trackers(config, job_files(tmp_path, config.directory, 1), warnings.append, environment)
    trackers.observe(_event(1, kind="step", step=1, loss=1.0))
    trackers.close(0, wait_seconds=120)

    assert len(warnings) == 1
    assert warnings[0].startswith("MLflow tracking is off: ")
    assert "hunter2" not in warnings[0]
