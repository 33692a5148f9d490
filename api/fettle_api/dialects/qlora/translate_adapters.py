"""What this API answers about adapters. Pure; a job that is gone leaves what the Adapter itself remembers."""

from collections.abc import Iterable, Mapping
from typing import Any

from fettle_api.adapters.views import AdapterView
from fettle_api.dialects.qlora.translate import (
    NAME,
    adapter_resource,
    lora_config_of,
    model_of_view,
    time_of,
    training_config_of,
)
from fettle_api.dialects.translation import finite
from fettle_api.jobs.uuid_ids import id_of_name
from fettle_api.resources.models import JobView


def source_job(adapter: AdapterView, jobs: Mapping[str, JobView]) -> JobView | None:
    """The job that made the newest version, if it is still there and is that one."""
    source = adapter.spec.source
    job = jobs.get(source.training_job or "")
    return job if job is not None and source.training_job_uid in (None, job.uid) else None


def name_of_adapter(adapter: AdapterView, job: JobView | None) -> str:
    """As whoever trained it has written it."""
    request = job.request if job is not None and job.dialect == NAME else None
    given = (request or {}).get("adapter_name")
    if isinstance(given, str) and adapter_resource(given) == adapter.name:
        return given
    return id_of_name(adapter.name)


def adapters_of(
    adapters: Iterable[AdapterView], jobs: Mapping[str, JobView], loaded: frozenset[str], current: str | None
) -> dict[str, Any]:
    """The list. `loaded` and `current` are names of Adapters."""
    there = [adapter for adapter in adapters if adapter.path is not None]
    names = {adapter.name: name_of_adapter(adapter, source_job(adapter, jobs)) for adapter in there}
    return {
        "adapters": [_summary(adapter, source_job(adapter, jobs), adapter.name in loaded) for adapter in there],
        "total": len(there),
        "current_adapter": names.get(current or "") if current in loaded else None,
    }


def adapter_of(adapter: AdapterView, job: JobView | None, is_loaded: bool) -> dict[str, Any]:
    """One adapter by itself."""
    minutes = None
    if job is not None and job.status.active_seconds is not None:
        minutes = round(job.status.active_seconds / 60, 2)
    elif job is not None and job.status.start_time and job.status.completion_time:
        minutes = round((job.status.completion_time - job.status.start_time).total_seconds() / 60, 2)
    summary = _summary(adapter, job, is_loaded)
    return {
        **summary,
        "training_config": _configuration(adapter, job),
        "metrics": {**summary["metrics"], "training_time_minutes": minutes},
    }


def _summary(adapter: AdapterView, job: JobView | None, is_loaded: bool) -> dict[str, Any]:
    history, provenance = adapter.status.history, adapter.status.provenance
    newest = history[0].time if history else None
    progress = job.status.progress if job is not None else None
    return {
        "name": name_of_adapter(adapter, job),
        "path": adapter.path,
        "model_name": model_of_view(job) if job is not None else adapter.spec.base_model.id,
        "created_at": time_of(newest or adapter.created_at),
        "size_mb": round((adapter.status.size_bytes or 0) / (1024 * 1024), 2),
        "description": (job.description if job is not None else None) or "",
        "is_loaded": is_loaded,
        "metrics": {
            "final_loss": finite(provenance.final_loss if provenance else None),
            "training_steps": progress.step if progress else None,
        },
    }


def _configuration(adapter: AdapterView, job: JobView | None) -> dict[str, Any]:
    if job is not None:
        return {**lora_config_of(job), **training_config_of(job)}
    known = {"r": adapter.status.rank, "target_modules": adapter.status.target_modules}
    return {name: value for name, value in known.items() if value is not None}
