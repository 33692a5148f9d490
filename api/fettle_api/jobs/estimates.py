"""Memory and time of a job before it exists, from its model's config.json and from what finished jobs have measured.

Where no config.json is known, the size that the model's name states gives a lower bound, which the notes call so.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from fettle_api.files.base_models import BaseModels
from fettle_api.jobs.lifecycle import Jobs
from fettle_api.resources.models import JobView
from fettle_schema.adapter_parameters import AdapterType
from fettle_schema.estimate.duration import Measurement, measured_speed
from fettle_schema.estimate.errors import EstimateError
from fettle_schema.estimate.gpus import Gpu
from fettle_schema.estimate.job_estimate import JobEstimate, KnownFacts, estimate_job
from fettle_schema.training_job import TrainingJobSpec
from fettle_schema.vocabulary import Phase

_CPU = "cpu"
_SIZE_IN_NAME = re.compile(r"(?<![0-9A-Za-z.])(\d+(?:\.\d+)?)\s*([bm])(?![A-Za-z0-9])", re.IGNORECASE)
_BYTES_OF_WEIGHT = {"lora": 2.0, "qlora": 0.52, "none": 2.0}
"""bf16; nf4 with double quantization has 4.127 bits."""


@dataclass(frozen=True)
class Estimate:
    """What is known; None where nothing is."""

    parameter_count: int | None = None
    memory_bytes_per_node: int | None = None
    examples_per_second: float | None = None
    seconds: float | None = None
    notes: tuple[str, ...] = ()
    """What the numbers rest on, and what they leave out."""
    details: Mapping[str, Any] | None = None
    """The whole estimate, as `status.resolved.estimate` holds it."""


class Estimates:
    """Judges jobs that nobody has submitted yet; `gpu` is what they would run on."""

    def __init__(self, models: BaseModels, jobs: Jobs, gpu: Gpu) -> None:
        self._models, self._jobs, self._gpu = models, jobs, gpu

    async def estimate(self, base_model: str, spec: Mapping[str, Any], example_count: int | None) -> Estimate:
        """`base_model` is what a request names; `spec` is the rest of a TrainingJob's."""
        config = await self._models.config(base_model)
        if config is None:
            return _stated(base_model, spec, "the model's config.json is not in the workspace")
        name = self._models.resolved_name(base_model)
        measurements = _measurements(await self._jobs.all(), self._gpu)
        facts = KnownFacts(examples=example_count, measurements=measurements)
        rest = {field: value for field, value in spec.items() if field != "dataset"}  # it may have no source yet
        try:
            parsed = TrainingJobSpec.model_validate({"baseModel": {"id": name}, **rest})
            found = estimate_job(parsed, config, gpu=self._gpu, model=name, known=facts)
        except EstimateError as error:
            return _stated(base_model, spec, str(error))
        except ValidationError as error:
            problem = error.errors(include_url=False, include_input=False)[0]
            return _stated(base_model, spec, f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}")
        return self._of(found, parsed, example_count, measurements, name)

    def _of(
        self,
        found: JobEstimate,
        spec: TrainingJobSpec,
        example_count: int | None,
        measurements: list[Measurement],
        name: str,
    ) -> Estimate:
        per_second, seconds, label = None, None, f"speed on a {_CPU} is known only once a job has finished there"
        if found.settings.device == _CPU:
            speed = measured_speed(measurements, gpu=_CPU, model=name, settings=found.settings)
        else:
            speed = found.speed
        if speed is not None:
            per_second, label = round(speed.expected / found.settings.length, 3), speed.label
        if per_second and example_count is not None:
            seconds = round(example_count * (spec.hyperparameters.epochs or 3.0) / per_second, 1)
        return Estimate(
            parameter_count=found.shape.parameters,
            memory_bytes_per_node=found.memory.expected * max(1, spec.resources.gpus_per_node),
            examples_per_second=per_second,
            seconds=seconds,
            notes=(label, *found.memory.notes),
            details=found.manifest(),
        )


def _measurements(jobs: Iterable[JobView], gpu: Gpu) -> list[Measurement]:
    """What jobs that succeeded have measured; all GPUs of an installation count as the one that it names."""
    found = []
    for job in jobs:
        progress, spec = job.status.progress, job.spec
        if job.phase is Phase.SUCCEEDED and progress is not None and progress.tokens_per_second:
            gpus = spec.resources.gpus_per_node
            found.append(
                Measurement(
                    gpu=gpu.name if gpus else _CPU,
                    model=spec.base_model.id or spec.base_model.path or "",
                    method=spec.method,
                    adapter=AdapterType(spec.adapter.type or AdapterType.LORA),
                    tokens_per_second=progress.tokens_per_second,
                    processes=max(1, gpus) * spec.resources.nodes,
                )
            )
    return found


def _stated(name: str, spec: Mapping[str, Any], reason: str) -> Estimate:
    """What little the name of a model says."""
    count = _stated_size(name)
    if count is None:
        return Estimate(notes=(f"{reason}, and its name tells no size",))
    bytes_of_weight = _BYTES_OF_WEIGHT.get((spec.get("adapter") or {}).get("type", "lora"), 2.0)
    notes = (f"{reason}: the size is the one that its name states", "memory counts the weights of the base model only")
    return Estimate(count, math.ceil(count * bytes_of_weight), notes=notes)


def _stated_size(name: str) -> int | None:
    found = _SIZE_IN_NAME.findall(name.rpartition("/")[2].replace("_", "-"))
    if not found:
        return None
    number, unit = found[-1]
    return round(float(number) * (1e9 if unit.lower() == "b" else 1e6))
