"""All estimates of one job together, as `status.resolved.estimate` and `--json` hold them. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fettle_schema.estimate.advice import Advice, Cost, advise, cost
from fettle_schema.estimate.duration import (
    Duration,
    Measurement,
    Speed,
    measured_speed,
    prior_speed,
    training_duration,
    training_tokens,
)
from fettle_schema.estimate.errors import EstimateError
from fettle_schema.estimate.gpus import Gpu
from fettle_schema.estimate.held_memory import saved_modules, trained_weights
from fettle_schema.estimate.memory import MemoryEstimate, estimate_memory
from fettle_schema.estimate.memory_settings import MemorySettings, Precision, memory_settings
from fettle_schema.estimate.shape import ModelShape
from fettle_schema.training_job import Method, TrainingJobSpec

_UNTRAINED = frozenset({Method.MERGE, Method.BENCHMARK})


@dataclass(frozen=True)
class KnownFacts:
    """What is known beside the spec and the model; None where it is not."""

    examples: int | None = None
    mean_length: float | None = None
    """Tokens of an example on average."""
    longest: int | None = None
    labelled_share: float = 1.0
    measurements: Sequence[Measurement] = ()
    prices: Mapping[str, float] | None = None
    """Price of an hour, by GPU."""


@dataclass(frozen=True)
class JobEstimate:
    """Memory of one process; speed, time, advice and cost where a GPU is named."""

    shape: ModelShape
    settings: MemorySettings
    trained_parameters: int
    memory: MemoryEstimate
    speed: Speed | None = None
    duration: Duration | None = None
    advice: Advice | None = None
    cost: Cost | None = None

    def manifest(self) -> dict[str, Any]:
        """JSON values in camelCase."""
        found: dict[str, Any] = {
            "parameters": self.shape.parameters,
            "trainedParameters": self.trained_parameters,
            "memory": {
                "lowBytes": self.memory.low,
                "expectedBytes": self.memory.expected,
                "highBytes": self.memory.high,
                "parts": dict(self.memory.parts),
                "moment": self.memory.moment,
                "confidence": self.memory.confidence,
                "notes": list(self.memory.notes),
            },
        }
        if self.duration is not None:
            speed = self.duration.speed
            found["time"] = {
                "lowSeconds": round(self.duration.low),
                "expectedSeconds": round(self.duration.expected),
                "highSeconds": round(self.duration.high),
                "tokens": self.duration.tokens,
                "tokensPerSecond": round(speed.expected, 1),
                "source": speed.source,
                "label": speed.label,
            }
        if self.advice is not None:
            found["advice"] = {
                "gpu": self.advice.gpu,
                "fits": self.advice.fits,
                "mightFit": self.advice.might_fit,
                "largestBatch": self.advice.largest_batch,
                "changes": list(self.advice.changes),
                "smallestGpu": self.advice.smallest_gpu,
            }
        if self.cost is not None:
            found["cost"] = {
                "gpuHoursLow": round(self.cost.gpu_hours_low, 2),
                "gpuHours": round(self.cost.gpu_hours, 2),
                "gpuHoursHigh": round(self.cost.gpu_hours_high, 2),
                "amount": None if self.cost.amount is None else round(self.cost.amount, 2),
            }
        return found


def estimate_job(
    spec: TrainingJobSpec,
    config: Mapping[str, Any],
    *,
    gpu: Gpu | None = None,
    model: str = "",
    known: KnownFacts | None = None,
) -> JobEstimate:
    """Judge a job from its spec and its model's config.json; EstimateError if that is not possible.

    `model` is the name that measurements have. Time and cost need a GPU, and the number of examples or `maxSteps`.
    """
    if spec.method in _UNTRAINED:
        raise EstimateError(f"spec.method: {spec.method.value} trains nothing; estimates are made for training methods")
    facts = known or KnownFacts()
    shape = ModelShape.from_config(config)
    precision: Precision | None = None if gpu is None or gpu.has_bf16 else "fp16"
    settings = memory_settings(spec, precision=precision, length=facts.longest, labelled_share=facts.labelled_share)
    trained = trained_weights(shape, settings).count + saved_modules(shape, settings)
    memory = estimate_memory(shape, settings)
    if gpu is None or settings.device == "cpu":
        return JobEstimate(shape, settings, trained, memory)
    measured = measured_speed(facts.measurements, gpu=gpu.name, model=model, settings=settings)
    speed = measured or prior_speed(shape, settings, gpu)
    duration = _duration(spec, settings, speed, facts)
    paid = None if duration is None else cost(duration, settings.processes, gpu.name, facts.prices or {})
    return JobEstimate(shape, settings, trained, memory, speed, duration, advise(shape, settings, gpu), paid)


def _duration(spec: TrainingJobSpec, settings: MemorySettings, speed: Speed, facts: KnownFacts) -> Duration | None:
    """None while nobody knows how many examples there are."""
    hyperparameters = spec.hyperparameters
    if hyperparameters.max_steps is not None:
        per_step = hyperparameters.batch_size * hyperparameters.gradient_accumulation_steps * settings.processes
        examples, epochs = per_step * hyperparameters.max_steps, 1.0
    elif facts.examples is not None:
        examples, epochs = facts.examples, hyperparameters.epochs or 3.0
    else:
        return None
    return training_duration(speed, training_tokens(settings, examples, epochs, facts.mean_length))
