"""Sending a run's metrics to TensorBoard, MLflow and Weights & Biases, as `spec.tracking` asks. On rank 0 only.

Nothing here may slow a step or fail a run: a backend that cannot be used is one warning.
"""

import os
import re
import time
from collections.abc import Callable, Mapping

from fettle_schema.run import ProgressEvent, RunConfig
from fettle_schema.vocabulary import ExitCode
from fettle_trainer.job_files import JobFiles
from fettle_trainer.tracking import mlflow, tensorboard, wandb
from fettle_trainer.tracking.port import Outcome, Tracker, point, run_facts
from fettle_trainer.tracking.worker import TrackerWorker

Warn = Callable[[str], None]

_SECRET_NAME = re.compile(r"KEY|TOKEN|PASSWORD|SECRET")
_SHORTEST_SECRET = 6
_CREDENTIALS_HINT = "put it into the Secret that spec.credentials.secretName names"


class Trackers:
    """The open backends. `observe` is given every progress event, `close` is called once at the end."""

    def __init__(self, workers: list[TrackerWorker]) -> None:
        self._workers = workers
        self.is_stuck = False
        """After `close`: a backend still hangs in its thread, and the process must not wait for it at its exit."""

    def observe(self, event: ProgressEvent) -> None:
        """Queue the metrics of an event; microseconds, whatever the backends do."""
        if self._workers and (measured := point(event)) is not None:
            for worker in self._workers:
                worker.put(measured)

    def close(self, exit_code: int, wait_seconds: float = 30.0) -> None:
        """Send what is left, for at most `wait_seconds` in all, and say how the attempt ended."""
        deadline = time.monotonic() + wait_seconds
        for worker in self._workers:
            worker.ask_to_finish(outcome_of(exit_code))
        have_ended = [worker.join(deadline) for worker in self._workers]
        self.is_stuck = not all(have_ended)
        self._workers = []


def open_trackers(
    config: RunConfig, files: JobFiles, warn: Warn, environment: Mapping[str, str] | None = None
) -> Trackers:
    """Start the backends that `spec.tracking` names; those without credentials are left out with a warning."""
    given = os.environ if environment is None else environment
    tell = _without_secrets(warn, given)
    openers = {
        "TensorBoard": _tensorboard(config, files),
        "MLflow": _mlflow(config, given, tell),
        "Weights & Biases": _wandb(config, files, given, tell),
    }
    return Trackers([TrackerWorker(name, opener, tell) for name, opener in openers.items() if opener is not None])


def outcome_of(exit_code: int) -> Outcome:
    """What a backend is told of an exit code."""
    if exit_code == ExitCode.DONE:
        return Outcome.FINISHED
    return Outcome.STOPPED if exit_code in (ExitCode.CHECKPOINTED, ExitCode.RETRY) else Outcome.FAILED


def _tensorboard(config: RunConfig, files: JobFiles) -> Callable[[], Tracker] | None:
    if not config.tracking.tensorboard:
        return None
    facts, directory = run_facts(config, None), files.directory / tensorboard.DIRECTORY
    return lambda: tensorboard.TensorBoardTracker(directory, facts, files.attempt)


def _mlflow(config: RunConfig, environment: Mapping[str, str], warn: Warn) -> Callable[[], Tracker] | None:
    spec = config.tracking.mlflow
    if spec is None:
        return None
    uri = environment.get(mlflow.URI_VARIABLE, "").strip()
    if not uri:
        warn(f"MLflow tracking is off: {mlflow.URI_VARIABLE} is not set; give it in spec.runtime.env")
        return None
    facts = run_facts(config, spec.run_name)
    return lambda: mlflow.MlflowTracker(uri, spec, facts)


def _wandb(
    config: RunConfig, files: JobFiles, environment: Mapping[str, str], warn: Warn
) -> Callable[[], Tracker] | None:
    spec = config.tracking.wandb
    if spec is None or wandb.mode(environment) in wandb.DISABLED_MODES:
        return None
    if wandb.mode(environment) not in wandb.OFFLINE_MODES and not environment.get(wandb.KEY_VARIABLE, "").strip():
        warn(f"Weights & Biases tracking is off: {wandb.KEY_VARIABLE} is not set; {_CREDENTIALS_HINT}")
        return None
    facts = run_facts(config, spec.run_name)
    return lambda: wandb.WandbTracker(files.attempt_directory, spec, facts, environment)


def _without_secrets(warn: Warn, environment: Mapping[str, str]) -> Warn:
    """Errors of libraries may quote addresses with a password, or a key."""
    secrets = [
        value for name, value in environment.items() if _SECRET_NAME.search(name) and len(value) >= _SHORTEST_SECRET
    ]

    def tell(message: str) -> None:
        for secret in secrets:
            message = message.replace(secret, "***")
        warn(re.sub(r"://[^/\s@]+@", "://***@", message))

    return tell
