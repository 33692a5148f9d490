"""What a benchmark says about an Adapter, on its status. Pure."""

from typing import Any

from fettle_operator.adapters.observation import parse_adapter_status
from fettle_operator.plan import Manifest
from fettle_schema.adapter import Provenance
from fettle_schema.run import RunResult

_SCORES = ("coherence", "consistency", "helpfulness")
_FACTS = ("n", "seed", "promptsDigest")


def build_benchmark_status(job: Manifest, result: RunResult, adapter: Manifest) -> Manifest | None:
    """The Adapter's status with the scores; None if they are there already, or are of another version."""
    status, metrics = parse_adapter_status(adapter), result.metrics
    if metrics.get("trainedDigest") is None or metrics["trainedDigest"] != status.digest:
        return None
    benchmark = build_benchmark(job, metrics)
    provenance = status.provenance or Provenance()
    if provenance.benchmark == benchmark:
        return None
    provenance.benchmark = benchmark
    return status.model_copy(update={"provenance": provenance}).manifest()


def build_benchmark(job: Manifest, metrics: dict[str, Any]) -> dict[str, Any]:
    """Each score with its interval and the base model's beside it, and what makes two benchmarks comparable."""
    metadata = job["metadata"]
    facts = {name: metrics[name] for name in _FACTS if name in metrics}
    scores = {
        name: {
            "value": metrics[name],
            "low": metrics.get(f"{name}Low"),
            "high": metrics.get(f"{name}High"),
            "base": metrics.get(f"base{name.capitalize()}"),
        }
        for name in _SCORES
        if name in metrics
    }
    return {"trainingJob": metadata["name"], "uid": metadata["uid"], **facts, "scores": scores}
