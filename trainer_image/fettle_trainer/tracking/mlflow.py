"""MLflow, by its client: a server, or a directory (`file:…`). The run is found again by the job's uid."""

import os
import time
from collections.abc import Sequence
from typing import Any

from fettle_schema.training_job import MlflowSpec
from fettle_trainer.tracking.port import Outcome, Point, RunFacts

URI_VARIABLE = "MLFLOW_TRACKING_URI"
_UID_TAG = "fettle.uid"
_STATUS = {Outcome.FINISHED: "FINISHED", Outcome.FAILED: "FAILED", Outcome.STOPPED: "KILLED"}
_MAX_VALUE_LENGTH = 500
_MAX_PARAMETERS = 100
_MAX_METRICS = 1000
"""Limits of one request."""


class MlflowTracker:
    """One MLflow run for all attempts of a job."""

    def __init__(self, uri: str, spec: MlflowSpec, facts: RunFacts) -> None:
        # Directories are refused by this version unless one insists, and its client reports its use to its makers.
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.tracking import MlflowClient

        self._client = MlflowClient(tracking_uri=uri)
        experiment = self._experiment(spec.experiment)
        found = self._client.search_runs([experiment], f"tags.`{_UID_TAG}` = '{facts.run_id}'", max_results=1)
        if found:
            self._run_id = str(found[0].info.run_id)
            self._client.update_run(self._run_id, status="RUNNING")
        else:
            self._run_id = self._create(experiment, facts)

    def log(self, points: Sequence[Point]) -> None:
        """Send all metrics of the points."""
        from mlflow.entities import Metric

        metrics = [
            Metric(name, value, round(point.time_seconds * 1000), point.step)
            for point in points
            for name, value in point.metrics.items()
        ]
        for begin in range(0, len(metrics), _MAX_METRICS):
            self._client.log_batch(self._run_id, metrics=metrics[begin : begin + _MAX_METRICS])

    def finish(self, outcome: Outcome) -> None:
        """Set the run's status."""
        self._client.set_terminated(self._run_id, _STATUS[outcome])

    def _experiment(self, name: str) -> str:
        from mlflow.exceptions import MlflowException

        experiment: Any = self._client.get_experiment_by_name(name)
        if experiment is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException:  # another run has just created it
                experiment = self._client.get_experiment_by_name(name)
                if experiment is None:
                    raise
        return str(experiment.experiment_id)

    def _create(self, experiment: str, facts: RunFacts) -> str:
        from mlflow.entities import Param

        start = round(time.time() * 1000)
        run = self._client.create_run(experiment, start_time=start, tags=dict(facts.tags), run_name=facts.name)
        parameters = [Param(name, str(value)[:_MAX_VALUE_LENGTH]) for name, value in facts.parameters.items()]
        for begin in range(0, len(parameters), _MAX_PARAMETERS):
            self._client.log_batch(run.info.run_id, params=parameters[begin : begin + _MAX_PARAMETERS])
        return str(run.info.run_id)
