"""The estimate of a run's memory, from its RunConfig and its model's config.json. Imports no torch."""

import json
from typing import Any

from fettle_schema.estimate.errors import EstimateError
from fettle_schema.estimate.job_estimate import JobEstimate, KnownFacts, estimate_job
from fettle_schema.run import RunConfig
from fettle_schema.training_job import ResourcesSpec, TrainingJobSpec
from fettle_trainer.models import BaseModel

_GIB = 1 << 30


def estimate_run(config: RunConfig, base: BaseModel, known: KnownFacts | None = None) -> JobEstimate:
    """EstimateError where the formulas do not hold for the model, or the method trains nothing."""
    try:
        described: dict[str, Any] = json.loads((base.directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EstimateError(f"config.json of {base.name!r} cannot be read") from error
    return estimate_job(_spec(config), described, model=base.name, known=known)


def estimate_manifest(config: RunConfig, base: BaseModel, known: KnownFacts | None = None) -> dict[str, Any] | None:
    """The same as JSON values; None where there is no estimate."""
    try:
        return estimate_run(config, base, known).manifest()
    except EstimateError:
        return None


def memory_sentence(config: RunConfig, base: BaseModel, batch_size: int) -> str:
    """What a micro-batch of this size is estimated to need."""
    settings = config.hyperparameters.model_copy(update={"batch_size": batch_size})
    try:
        memory = estimate_run(config.model_copy(update={"hyperparameters": settings}), base).memory
    except EstimateError:
        return "there is no estimate of what it needs"
    low, expected, high = (size / _GIB for size in (memory.low, memory.expected, memory.high))
    return f"it is estimated to need {expected:.1f} GiB ({low:.1f} to {high:.1f})"


def _spec(config: RunConfig) -> TrainingJobSpec:
    """The job that leads to this run; what estimates do not depend on is left out."""
    topology = config.topology
    return TrainingJobSpec(
        method=config.method,
        base_model=config.base_model,
        dataset=config.dataset,
        adapter=config.adapter,
        hyperparameters=config.hyperparameters,
        resources=ResourcesSpec(
            gpus_per_node=topology.processes_per_node if topology.uses_gpu else 0, nodes=topology.nodes
        ),
    )
