"""What AINode answers about logs, files, counts, estimates and datasets. Pure."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote

from fettle_api.datasets.views import DatasetPreview, DatasetView
from fettle_api.dialects.ainode.translate import epoch_of, id_of_name, status_of_job
from fettle_api.dialects.ainode.wire import TrainingConfig
from fettle_api.dialects.translation import finite
from fettle_api.jobs.derivations import Merged, Resumed
from fettle_api.jobs.estimates import Estimate
from fettle_api.resources.models import JobCounts, JobLog, JobOutput, LogLine
from fettle_schema.layout import MODELS
from fettle_schema.run import ProgressEvent
from fettle_schema.vocabulary import Phase

_UNKNOWN = datetime.min.replace(tzinfo=UTC)
_FORMATS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv", ".txt": "text"}
_FORMATS |= {".parquet": "parquet", ".arrow": "arrow", ".feather": "arrow"}
_GIB = 1024**3


def log_of(log: JobLog, tail: int | None) -> dict[str, Any]:
    """Lines of the log and of the series of reports, merged by time; `total_lines` counts both."""
    reports = [(event.time, _progress_line(event)) for event in log.events]
    timed = sorted([*_with_times(log.lines), *reports], key=lambda line: line[0])
    merged = [f"[{_clock(time)}] {text}" for time, text in timed]
    kept = merged if tail is None else merged[max(0, len(merged) - tail) :]
    return {
        "job_id": id_of_name(log.job.name),
        "status": status_of_job(log.job),
        "logs": kept,
        "total_lines": log.line_count + log.event_count,
    }


def _with_times(lines: tuple[LogLine, ...]) -> list[tuple[datetime, str]]:
    """A line without a time has that of the one before it, and stays behind it."""
    time, timed = _UNKNOWN, []
    for line in lines:
        time = line.time or time
        timed.append((time, line.text))
    return timed


def _clock(time: datetime) -> str:
    return "--:--:--" if time == _UNKNOWN else time.astimezone(UTC).strftime("%H:%M:%S")


def _progress_line(event: ProgressEvent) -> str:
    percent = None
    if event.step is not None and event.total_steps:
        percent = round(min(100.0, 100.0 * event.step / event.total_steps), 1)
    payload = {
        "epoch": epoch_of(event.epoch),
        "loss": finite(event.loss),
        "progress": percent,
        "step": event.step,
        "eval_loss": finite(event.eval_loss),
    }
    return f"AINODE_PROGRESS:{json.dumps({key: value for key, value in payload.items() if value is not None})}"


def output_of(output: JobOutput, base_url: str) -> dict[str, Any]:
    """Published files; `base_url` is where the jobs are served."""
    job_id = id_of_name(output.job.name)
    files = [
        {
            "name": file.name,
            "size_bytes": file.size_bytes,
            "size_mb": _megabytes(file.size_bytes),
            "download_url": f"{base_url}/{job_id}/output/{quote(file.name, safe='')}",
        }
        for file in output.files
    ]
    total_bytes = sum(file.size_bytes for file in output.files)
    return {
        "job_id": job_id,
        "status": status_of_job(output.job),
        "files": files,
        "total_files": len(files),
        "total_size_mb": _megabytes(total_bytes),
    }


def tail_of_query(query: Mapping[str, str]) -> int | None:
    """`tail`; whatever is no count of lines is ignored."""
    text = query.get("tail", "")
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _megabytes(size_bytes: int) -> float:
    return round(size_bytes / (1024 * 1024), 2)


def stats_of(counts: JobCounts) -> dict[str, Any]:
    """The counters of the overview."""
    phases = counts.by_phase
    pending = sum(phases.get(phase, 0) for phase in (Phase.PENDING, Phase.QUEUED, Phase.SUSPENDED))
    return {
        "total": counts.total,
        "running": phases.get(Phase.RUNNING, 0) + phases.get(Phase.STARTING, 0),
        "completed": phases.get(Phase.SUCCEEDED, 0),
        "completed_today": counts.succeeded_lately,
        "failed": phases.get(Phase.FAILED, 0),
        "cancelled": phases.get(Phase.CANCELLED, 0),
        "pending": pending,
        "total_gpu_hours": round(counts.gpu_seconds / 3600, 2),
        "active_job_id": id_of_name(counts.running.name) if counts.running else None,
        "queue_size": pending,
    }


def estimate_of(estimate: Estimate, config: TrainingConfig) -> dict[str, Any]:
    """What is known about a job before it runs; null where nothing is."""
    count, memory = estimate.parameter_count, estimate.memory_bytes_per_node
    return {
        "params_b": round(count / 1e9, 3) if count is not None else None,
        "memory_gb_per_node": round(memory / _GIB, 2) if memory is not None else None,
        "samples_per_sec": estimate.examples_per_second,
        "estimated_seconds": estimate.seconds,
        "distributed": config.distributed,
        "num_nodes": config.num_nodes if config.distributed else 1,
        "notes": list(estimate.notes),
        "estimate": dict(estimate.details) if estimate.details is not None else None,
    }


def resumed_of(resumed: Resumed) -> dict[str, Any]:
    """The answer to `resume`."""
    return {
        "resume_job_id": id_of_name(resumed.job.name),
        "source_job_id": id_of_name(resumed.source.name),
        "checkpoint": resumed.checkpoint.name,
        "checkpoint_path": resumed.checkpoint.path,
        "available_checkpoints": [checkpoint.name for checkpoint in resumed.available],
        "status": status_of_job(resumed.job),
    }


def merged_of(merged: Merged, output_dir: str | None, base_url: str) -> dict[str, Any]:
    """The answer to `merge`."""
    job_id = id_of_name(merged.job.name)
    return {
        "merge_job_id": job_id,
        "source_job_id": id_of_name(merged.source.name),
        "adapter_dir": merged.adapter_path,
        "output_dir": output_dir or f"{MODELS}/{merged.job.name}",
        "status": status_of_job(merged.job),
        "message": f"Merge started. Poll GET {base_url}/{job_id} for status.",
    }


def dataset_of(dataset: DatasetView) -> dict[str, Any]:
    """A dataset: its newest version, or what was registered."""
    known, newest = dataset.description, dataset.newest
    hub = dataset.source.hugging_face if dataset.source else None
    local = dataset.source.workspace if dataset.source else None
    created = dataset.created_at
    return {
        "id": dataset.name,
        "name": (known.title if known else None) or dataset.name,
        "source": "huggingface"
        if hub
        else "local"
        if local
        else "url"
        if known and known.origin == "url"
        else "upload",
        "format": _format(dataset),
        "path": hub.id if hub else local.path if local else dataset.path,
        "samples": (known.example_count if known else None) or 0,
        "size_bytes": newest.size_bytes if newest and dataset.source is None else 0,
        "created_at": created.timestamp() if created else 0.0,
        "description": (known.description if known else None) or "",
        "hf_config": hub.config if hub else None,
        "hf_split": hub.split if hub else None,
        "version": newest.name if newest and dataset.source is None else None,
        "versions": [version.name for version in dataset.versions],
    }


def preview_of(dataset: DatasetView, preview: DatasetPreview) -> dict[str, Any]:
    """The first rows."""
    known = dataset_of(dataset)
    return {
        "id": dataset.name,
        "name": known["name"],
        "format": known["format"],
        "samples": list(preview.rows),
        "total_samples": known["samples"],
        "columns": list(preview.columns),
        "detected_formats": list(preview.formats),
        "findings": list(preview.findings),
    }


def limit_of_query(query: Mapping[str, str]) -> int:
    """`limit` of a preview: 1 to 25, and 3 for whatever is no integer."""
    text = query.get("limit", "")
    return max(1, min(25, int(text))) if re.fullmatch(r"[+-]?[0-9]{1,9}", text) else 3


def _format(dataset: DatasetView) -> str:
    local = dataset.source.workspace if dataset.source else None
    names = [local.path] if local else [file.name for file in dataset.newest.files] if dataset.newest else []
    found = {_FORMATS[suffix] for name in names if (suffix := PurePosixPath(name).suffix.lower()) in _FORMATS}
    return found.pop() if len(found) == 1 else "unknown"
