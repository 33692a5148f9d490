"""Milady's words for jobs ↔ neutral words. Pure. Where each field goes is in crds/FIELDS.md."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from fettle_api.dialects.milady.wire import JobOptions
from fettle_api.dialects.translation import field_of_request, finite
from fettle_api.resources.models import JobLog, JobRequest, JobView
from fettle_api.web.idempotency import Identity
from fettle_schema.base import LABEL_NAME_PATTERN
from fettle_schema.dataset import DatasetSource
from fettle_schema.errors import InvalidManifestError
from fettle_schema.layout import DATASETS, UPLOADS
from fettle_schema.names import MAX_JOB_NAME, job_directory, slug
from fettle_schema.training_job import Method
from fettle_schema.vocabulary import Phase, Stage

NAME = "milady"
LOG_LINES = 200

_MODEL_PREFIX = "model-"
_STATUS = {
    Phase.PENDING: "queued",
    Phase.QUEUED: "queued",
    Phase.SUSPENDED: "queued",
    Phase.STARTING: "running",
    Phase.RUNNING: "running",
    Phase.SUCCEEDED: "completed",
    Phase.FAILED: "failed",
    Phase.CANCELLED: "cancelled",
}
_PHASES = {
    Stage.LOADING_DATASET: "loading_data",
    Stage.LOADING_MODEL: "preparing_samples",
    Stage.TRAINING: "training",
    Stage.EVALUATING: "validating",
    Stage.SAVING: "finalizing",
    Stage.UPLOADING: "finalizing",
}
_FIELD_OF_PATH = {
    "spec.baseModel": "model",
    "spec.dataset": "datasetId",
    "spec.hyperparameters.maxSteps": "iterations",
    "spec.hyperparameters.batchSize": "batchSize",
    "spec.hyperparameters.learningRate": "learningRate",
    "spec.resources": "backend",
}


def is_job_id(job_id: str) -> bool:
    """Whether a job can have this id: ids are names of resources."""
    return len(job_id) <= MAX_JOB_NAME and re.fullmatch(LABEL_NAME_PATTERN, job_id) is not None


def model_id_of(job: JobView) -> str:
    """The id of the model that a job made."""
    return f"{_MODEL_PREFIX}{job.name}"


def name_of_model_id(model_id: str) -> str | None:
    """The name of the job that made a model; None for what can be no id."""
    name = model_id.removeprefix(_MODEL_PREFIX)
    return name if name != model_id and is_job_id(name) else None


def request_of_options(
    options: JobOptions, model: str, dataset: DatasetSource | str, is_built: bool, identity: Identity
) -> JobRequest:
    """The neutral request; `dataset` is where its rows are, or an alias, and `is_built` says that we made the rows."""
    name = f"job-{identity.digits[:12]}"
    given = {
        "maxSteps": options.iterations,
        "batchSize": options.batch_size,
        "learningRate": options.learning_rate,
    }
    of_dataset: dict[str, Any] = {"format": "messages"} if is_built else {}
    if not isinstance(dataset, str):
        of_dataset["source"] = dataset.manifest()
    if options.max_trajectories is not None and not is_built:
        of_dataset["maxExamples"] = options.max_trajectories
    spec: dict[str, Any] = {
        "method": "sft",
        "dataset": of_dataset,
        "hyperparameters": {key: value for key, value in given.items() if value is not None},
        "output": {"adapterName": _adapter_name(options.model or model, identity)},
    }
    if options.backend == "cpu":
        spec["resources"] = {"gpusPerNode": 0}
    return JobRequest(
        name=name,
        dialect=NAME,
        original_id=name,
        base_model=model,
        dataset=dataset if isinstance(dataset, str) else None,
        spec=spec,
        request=options.echo(),
        request_digest=identity.request_digest,
    )


def _adapter_name(model: str, identity: Identity) -> str:
    """`milady-<model>-<6 digits>`."""
    short = slug(re.sub(r"[^a-z0-9]+", "-", model.rpartition("/")[2].lower()).strip("-") or "model", 37)
    return f"milady-{short}-{identity.digits[:6]}"


def findings_of(error: InvalidManifestError) -> list[str]:
    """What the core refused, by the names that the request has for it."""
    return [f"{field_of_request(finding.path, _FIELD_OF_PATH)}: {finding.message}" for finding in error.errors]


def is_shown(job: JobView) -> bool:
    """Benchmarks of models are seen with the models."""
    return job.method is not Method.BENCHMARK or job.dialect == NAME


def status_of_job(job: JobView) -> str:
    """One of Milady's five words; a job that is being stopped counts as cancelled at once."""
    return _STATUS[job.visible_phase]


def phase_of_job(job: JobView) -> str:
    """One of Milady's seven phases; a job that failed or was cancelled stays where it was."""
    if job.phase is Phase.SUCCEEDED:
        return "completed"
    stage = job.status.progress.stage if job.status.progress else None
    if stage is None or job.phase in (Phase.PENDING, Phase.QUEUED):
        return "starting"
    return _PHASES[stage]


def progress_of_job(job: JobView) -> float:
    """0 to 1."""
    if job.phase is Phase.SUCCEEDED:
        return 1.0
    percent = job.status.progress.percent if job.status.progress else None
    return round((percent or 0.0) / 100, 4)


def job_of_view(job: JobView, log: JobLog | None = None) -> dict[str, Any]:
    """The whole job object."""
    progress, spec = job.status.progress, job.spec
    output, options = job.status.output, options_of_job(job)
    return {
        "id": job.name,
        "status": status_of_job(job),
        "phase": phase_of_job(job),
        "progress": progress_of_job(job),
        "currentIteration": (progress.step if progress else None) or 0,
        "totalIterations": (progress.total_steps if progress else None) or spec.hyperparameters.max_steps or 0,
        "loss": finite(progress.loss if progress else None),
        "datasetId": dataset_id_of(job),
        "backend": backend_of(job),
        "model": options.get("model") or source_model_of(job),
        "createdAt": milliseconds(job.created_at),
        "startedAt": milliseconds(job.status.start_time) if job.status.start_time else None,
        "completedAt": milliseconds(job.status.completion_time) if job.status.completion_time else None,
        "error": job.status.failure.message if job.status.failure else None,
        "outputDir": output.path if output else job_directory(job.name, job.uid),
        "adapterPath": output.path if output and output.kind == "adapter" else None,
        "modelId": model_id_of(job) if has_model(job) else None,
        "logs": lines_of(log),
        "options": options,
    }


def lines_of(log: JobLog | None) -> list[str]:
    """The last lines of a log, as they are."""
    return [line.text for line in log.lines] if log else []


def has_model(job: JobView) -> bool:
    """Whether a model came out of it that can be used by itself."""
    is_one = job.output_kind in ("adapter", "model")
    return job.phase is Phase.SUCCEEDED and is_one and job.method not in (Method.MERGE, Method.BENCHMARK)


def options_of_job(job: JobView) -> dict[str, Any]:
    """The options that the job was started with, if that was here."""
    if job.dialect != NAME or job.request is None:
        return {}
    known = {field.alias for field in JobOptions.model_fields.values()}
    return {name: value for name, value in job.request.items() if name in known}


def dataset_id_of(job: JobView) -> str | None:
    """What the request called it, else the dataset's name."""
    named = options_of_job(job).get("datasetId")
    source = job.spec.dataset.source if job.spec.dataset else None
    if named or source is None:
        return str(named) if named else None
    if source.workspace:
        return re.sub(rf"^({DATASETS}|{UPLOADS})/", "", source.workspace.path)
    return source.hugging_face.id if source.hugging_face else "inline"


def backend_of(job: JobView) -> str:
    """As the request has it, else by what the job asks for."""
    named = options_of_job(job).get("backend")
    return str(named) if named in ("mlx", "cuda", "cpu") else "cuda" if job.spec.resources.gpus_per_node else "cpu"


def source_model_of(job: JobView) -> str:
    """The base model."""
    return job.spec.base_model.id or job.spec.base_model.path or ""


def status_of_service(jobs: Iterable[JobView], dataset_count: int, has_gpus: bool) -> dict[str, Any]:
    """Counters over all jobs that are shown."""
    shown = [job for job in jobs if is_shown(job)]
    words = [status_of_job(job) for job in shown]
    running = [job for job, word in zip(shown, words, strict=True) if word == "running"]
    waiting = [job for job, word in zip(shown, words, strict=True) if word == "queued" and job.dialect == NAME]
    active = min(running or waiting, key=lambda job: job.start_time or job.created_at, default=None)
    return {
        "available": True,
        "backend": "cuda" if has_gpus else "cpu",
        "runtimeAvailable": True,
        "activeJobId": active.name if active else None,
        "runningJobs": words.count("running"),
        "queuedJobs": words.count("queued"),
        "completedJobs": words.count("completed"),
        "failedJobs": words.count("failed"),
        "modelCount": sum(map(has_model, shown)),
        "datasetCount": dataset_count,
    }


def milliseconds(time: datetime) -> int:
    """Since 1970."""
    return round(time.timestamp() * 1000)
