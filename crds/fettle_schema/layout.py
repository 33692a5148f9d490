"""Where things lie inside the workspace. Paths are relative, with forward slashes."""

import re

from fettle_schema.names import job_directory

MODELS = "models"
DATASETS = "datasets"
UPLOADS = "uploads"
JOBS = "jobs"
ADAPTERS = "adapters"
HUGGING_FACE_HOME = "huggingface"
TEMPLATES = "templates"
WEBHOOKS = "webhooks"
"""Messages that wait to be sent, and notes of those that were."""
CONFIGURATIONS = "configs"
TRAJECTORIES = "trajectories"
"""Runs of agents that datasets are built from."""

RUN_FILE = "run.json"
LOG_FILE = "log.txt"
METRICS_FILE = "metrics.jsonl"
RESULT_FILE = "result.json"
FINDINGS_FILE = "findings.json"
PREFLIGHT_FILE = "preflight.json"
ALL_FINDINGS_FILE = "findings.jsonl"
CHECKPOINTS = "checkpoints"
ADAPTER_CONFIG_FILE = "adapter_config.json"
"""PEFT's names, as all that load an adapter expect them."""
ADAPTER_WEIGHTS_FILE = "adapter_model.safetensors"
CHECKPOINT_MANIFEST = "fettle-checkpoint.json"


def attempt_directory(job_name: str, uid: str, attempt: int) -> str:
    """The only directory that an attempt writes to, apart from publishing and the job's log and metrics."""
    return f"{job_directory(job_name, uid)}/attempts/{attempt}"


def artifact_directory(kind_directory: str, name: str, digest: str) -> str:
    """Where an artifact is published; `digest` is `sha256:<hex>`."""
    return f"{kind_directory}/{name}/{digest.removeprefix('sha256:')[:12]}"


def is_artifact_directory(path: str, kind_directory: str) -> bool:
    """Whether a path is one that `artifact_directory` gives: only such a path never gets other files."""
    return re.fullmatch(rf"{kind_directory}/[^/]+/[0-9a-f]{{12}}", path) is not None
