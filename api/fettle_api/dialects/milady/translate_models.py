"""What Milady answers about models: what completed jobs made. Pure."""

from typing import Any

from fettle_api.adapters.activation import ActiveModel
from fettle_api.dialects.milady.translate import backend_of, milliseconds, model_id_of, source_model_of
from fettle_api.jobs.benchmarks import SCORES, BenchmarkView
from fettle_api.resources.models import JobView


def model_of(job: JobView, benchmark: BenchmarkView | None, active: ActiveModel | None) -> dict[str, Any]:
    """A model: what the job `job`, which has_model, made."""
    output = job.status.output
    path = output.path if output else ""
    return {
        "id": model_id_of(job),
        "jobId": job.name,
        "name": model_name_of(job),
        "createdAt": milliseconds(job.status.completion_time or job.created_at),
        "active": active is not None and active.is_of(job),
        "outputDir": path,
        "adapterPath": path if output and output.kind == "adapter" else None,
        "sourceModel": source_model_of(job),
        "backend": backend_of(job),
        "ollamaModel": job.ollama.name if job.ollama else None,
        "benchmark": benchmark_state_of(benchmark),
    }


def model_name_of(job: JobView) -> str:
    """Its Adapter's name."""
    return job.status.adapter or job.spec.output.adapter_name or job.name


def benchmark_state_of(benchmark: BenchmarkView | None) -> dict[str, Any]:
    """Whether it was benchmarked; while that runs, it was not."""
    if benchmark is None or not benchmark.job.is_finished:
        return {"status": "not_run", "lastRunAt": None, "output": None}
    ended, failure = benchmark.job.status.completion_time, benchmark.job.status.failure
    has_passed = benchmark.scores is not None
    return {
        "status": "passed" if has_passed else "failed",
        "lastRunAt": milliseconds(ended or benchmark.job.created_at),
        "output": _words(benchmark) if has_passed else failure.message if failure else None,
    }


def benchmark_of(source: JobView, benchmark: BenchmarkView) -> dict[str, Any]:
    """The scores of a model that was benchmarked."""
    scores = benchmark.scores or {}
    return {
        "modelId": model_id_of(source),
        "scores": {name: scores.get(name) for name in SCORES},
        "completedAt": milliseconds(benchmark.job.status.completion_time or benchmark.job.created_at),
        "status": "passed",
        "output": _words(benchmark),
    }


def imported_of(model: dict[str, Any], job: JobView) -> dict[str, Any]:
    """A model that is in Ollama."""
    assert job.ollama is not None
    return {**model, "ollamaName": job.ollama.name, "importedAt": milliseconds(job.ollama.imported_at)}


def _words(benchmark: BenchmarkView) -> str:
    scores = benchmark.scores or {}
    told = [f"{name} {scores[name]:.3f}" for name in SCORES if scores.get(name) is not None]
    return ", ".join(told) or "no scores"
