"""What a tracking backend must do, and the values that it is given. Standard library and the contract only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from fettle_schema.run import ProgressEvent, RunConfig

METRICS = {
    "loss": "train/loss",
    "learning_rate": "train/learning_rate",
    "grad_norm": "train/grad_norm",
    "tokens_per_second": "train/tokens_per_second",
    "epoch": "train/epoch",
    "eval_loss": "eval/loss",
    "peak_memory_bytes": "system/peak_memory_bytes",
}
"""Fields of a progress event, and the names that transformers has made usual for them."""


class Outcome(StrEnum):
    """How the attempt ended."""

    FINISHED = "finished"
    FAILED = "failed"
    STOPPED = "stopped"
    """It may go on in another attempt."""


@dataclass(frozen=True)
class Point:
    """Metrics of one step."""

    step: int
    time_seconds: float
    """Since the epoch, when it was measured."""
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class RunFacts:
    """What is told once about a run: who it is, and what it was given."""

    run_id: str
    """The same for every attempt of a job, and for no other job."""
    name: str
    tags: Mapping[str, str]
    parameters: Mapping[str, Any]
    """Flat, with dots: `hyperparameters.learningRate`."""


class Tracker(Protocol):
    """A backend, used by one thread. Whatever it raises turns it off, and nothing else."""

    def log(self, points: Sequence[Point]) -> None:
        """Send them, in order of time."""

    def finish(self, outcome: Outcome) -> None:
        """Send what is left and say how it ended."""


def point(event: ProgressEvent) -> Point | None:
    """The metrics of an event; None if it holds none."""
    if event.step is None or event.kind not in ("step", "evaluation"):
        return None
    metrics = {name: float(value) for field, name in METRICS.items() if (value := getattr(event, field)) is not None}
    return Point(event.step, event.time.timestamp(), metrics) if metrics else None


def run_facts(config: RunConfig, name: str | None) -> RunFacts:
    """Identity and hyperparameters, without anything of the dataset but where it lies."""
    job, base = config.job, config.base_model
    tags = {
        "fettle.uid": job.uid,
        "fettle.job": job.name,
        "fettle.namespace": job.namespace,
        "fettle.method": config.method.value,
        "fettle.base_model": base.id or base.path or "",
    }
    parameters: dict[str, Any] = {
        "method": config.method.value,
        "baseModel": base.id or base.path,
        "baseModelRevision": base.revision,
        "dataset": _dataset(config),
        **_flat("adapter", config.adapter.manifest()),
        **_flat("hyperparameters", config.hyperparameters.manifest()),
    }
    given = {key: value for key, value in parameters.items() if value is not None}
    return RunFacts(job.uid, name or job.name, tags, given)


def _dataset(config: RunConfig) -> str | None:
    if config.dataset is None:
        return None
    source = config.dataset.source
    if source.workspace is not None:
        return source.workspace.path
    return source.hugging_face.id if source.hugging_face is not None else "inline"


def _flat(prefix: str, values: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(f"{prefix}.{key}", value))
        else:
            flat[f"{prefix}.{key}"] = ", ".join(map(str, value)) if isinstance(value, list) else value
    return flat
