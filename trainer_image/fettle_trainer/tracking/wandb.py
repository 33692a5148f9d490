"""Weights & Biases. The run's id is the job's uid, so that a later attempt goes on with it."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from fettle_schema.training_job import WandbSpec
from fettle_trainer.tracking.port import Outcome, Point, RunFacts

KEY_VARIABLE = "WANDB_API_KEY"
MODE_VARIABLE = "WANDB_MODE"
OFFLINE_MODES = frozenset({"offline", "dryrun"})
DISABLED_MODES = frozenset({"disabled"})
_HOME_VARIABLES = ("WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_DATA_DIR")
_CONNECT_SECONDS = 60.0


def mode(environment: Mapping[str, str]) -> str:
    """What WANDB_MODE says, in small letters; empty if nothing."""
    return environment.get(MODE_VARIABLE, "").strip().lower()


class WandbTracker:
    """One run of Weights & Biases for all attempts of a job; offline, one directory for each."""

    def __init__(self, directory: Path, spec: WandbSpec, facts: RunFacts, environment: Mapping[str, str]) -> None:
        os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
        for variable in _HOME_VARIABLES:  # a pod's home is read-only
            os.environ.setdefault(variable, str(directory / "wandb"))
        import wandb

        settings = wandb.Settings(
            silent=True,
            console="off",
            disable_git=True,
            save_code=False,
            disable_code=True,
            disable_job_creation=True,
            init_timeout=_CONNECT_SECONDS,
        )
        directory.mkdir(parents=True, exist_ok=True)
        self._run = wandb.init(
            project=spec.project,
            entity=spec.entity,
            name=facts.name,
            id=facts.run_id,
            resume="allow",
            tags=spec.tags,
            notes=spec.notes,
            config={**facts.tags, **facts.parameters},
            dir=str(directory),
            mode="offline" if mode(environment) in OFFLINE_MODES else "online",
            settings=settings,
        )

    def log(self, points: Sequence[Point]) -> None:
        """Hand over to the library's own process. Steps before the last known one are ignored by the service."""
        for point in points:
            self._run.log(dict(point.metrics), step=point.step)

    def finish(self, outcome: Outcome) -> None:
        """Upload what is left."""
        if outcome is Outcome.STOPPED:
            self._run.mark_preempting()
        self._run.finish(exit_code=0 if outcome is Outcome.FINISHED else 1)
