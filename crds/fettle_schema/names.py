"""Names, labels and annotations: everything that one part writes and another finds again."""

import hashlib
import re

GROUP = "fettle.dev"
MAX_JOB_NAME = 52

LABEL_JOB = f"{GROUP}/training-job"
"""Name of the TrainingJob, on every child."""
LABEL_JOB_UID = f"{GROUP}/training-job-uid"
"""Its uid, on every child: what pods are found by."""
LABEL_ATTEMPT = f"{GROUP}/attempt"
"""Number of the attempt, on Job and pods."""
LABEL_ADAPTER = f"{GROUP}/adapter"
"""Name of the Adapter, on the Job that examines its files."""
LABEL_ADAPTER_UID = f"{GROUP}/adapter-uid"
"""Its uid, on the same: what that Job's pods are found by."""
LABEL_ENGINE = f"{GROUP}/engine"
"""`true` on the pods of a serving engine: what Adapters without a selector of their own are loaded into."""
ENGINE_LABELS = {LABEL_ENGINE: "true"}
ANNOTATION_MAX_LORA_RANK = f"{GROUP}/max-lora-rank"
"""On an engine's pod: the largest rank that it takes."""
FINALIZER_LOADED = f"{GROUP}/loaded"
"""On an Adapter that engines have, or are about to have: it is unloaded before it goes."""
LABEL_MANAGED_BY = "app.kubernetes.io/managed-by"
MANAGED_BY = "fettle"

ANNOTATION_DIALECT = f"{GROUP}/dialect"
ANNOTATION_ORIGINAL_ID = f"{GROUP}/original-id"
ANNOTATION_CREATED_AT = f"{GROUP}/created-at"
"""Creation time with microseconds: Kubernetes keeps whole seconds only."""
ANNOTATION_REQUEST = f"{GROUP}/request"
"""The request as it came through a dialect, secrets replaced by `***`."""
ANNOTATION_DESCRIPTION = f"{GROUP}/description"
ANNOTATION_RUN_NAME = f"{GROUP}/run-name"
ANNOTATION_TEMPLATE_ID = f"{GROUP}/template-id"
"""Template of a dialect that filled what the request left out."""
ANNOTATION_METADATA = f"{GROUP}/metadata"
"""Pairs that the caller attached to the job, as a JSON object: labels could not hold every key."""
ANNOTATION_OLLAMA = f"{GROUP}/ollama"
"""Under which name the job's model is in Ollama, and since when, as a JSON object."""
ANNOTATION_REQUEST_DIGEST = f"{GROUP}/request-digest"
"""Keyed digest of a request that came with an Idempotency-Key."""

FIELD_MANAGER_OPERATOR = "fettle-operator"
FIELD_MANAGER_RECEIVER = "fettle-receiver"
FIELD_MANAGER_LOCAL = "fettle"

WORKSPACE_CLAIM = "fettle-workspace"
LABEL_MOUNTS_WORKSPACE = f"{GROUP}/mounts-workspace"
"""Of pods that mount the claim, where that is possible on one node only: each goes where another is."""
CONTAINER_NAME = "trainer"
RUN_CONFIG_KEY = "run.json"
RUN_CONFIG_DIRECTORY = "/etc/fettle"
WORKSPACE_DIRECTORY = "/workspace"
TERMINATION_MESSAGE_PATH = "/dev/termination-log"
PROGRESS_TOKEN_DIRECTORY = "/var/run/secrets/fettle.dev"  # noqa: S105 - a path
PROGRESS_TOKEN_KEY = "token"  # noqa: S105 - a file name

ENV_PROGRESS_URL = "FETTLE_PROGRESS_URL"
ENV_PROGRESS_TOKEN_FILE = "FETTLE_PROGRESS_TOKEN_FILE"  # noqa: S105 - the name of a variable
ENV_TRANSFORMERS_URL = "KUBEFLOW_TRAINER_SERVER_URL"
"""By it transformers' Trainer reports by itself, in its own format, to the same address."""
ENV_TRANSFORMERS_TOKEN_FILE = "KUBEFLOW_TRAINER_SERVER_TOKEN"  # noqa: S105 - the name of a variable
ENV_WORKSPACE = "FETTLE_WORKSPACE"
ENV_TERMINATION_MESSAGE_PATH = "FETTLE_TERMINATION_MESSAGE_PATH"


def uid8(uid: str) -> str:
    """The first eight hexadecimal digits of a uid."""
    return uid.replace("-", "")[:8]


def attempt_name(job_name: str, attempt: int) -> str:
    """Name of the batch Job, and of the ConfigMap, of one attempt."""
    return f"{job_name}-a{attempt}"


PREFLIGHT_ATTEMPT = 0
"""Number that the children of a preflight have: it comes before the first attempt."""


def service_name(uid: str, attempt: int) -> str:
    """Name of the headless Service of an attempt with several nodes."""
    return f"tj-{uid8(uid)}-a{attempt}"


def examination_name(adapter_name: str, uid: str) -> str:
    """Name of the batch Job that examines the files of an Adapter."""
    return f"{adapter_name}-x{uid8(uid)}"


def job_directory(job_name: str, uid: str) -> str:
    """Directory of a job inside the workspace."""
    return f"jobs/{job_name}-{uid8(uid)}"


def credentials_secret_name(job_name: str) -> str:
    """Name of the Secret that a dialect creates for the secrets of a request."""
    return f"{job_name}-credentials"


def progress_audience(namespace: str, job_name: str, attempt: int) -> str:
    """Audience of the token by which the pods of one attempt report progress."""
    return f"fettle.dev/progress/{namespace}/{job_name}/{attempt}"


def slug(text: str, limit: int = MAX_JOB_NAME) -> str:
    """A resource name for free text: itself if it is one, else cleaned and with six digits of its digest."""
    if re.fullmatch(r"[a-z]([-a-z0-9]*[a-z0-9])?", text) and len(text) <= limit:
        return text
    cleaned = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
    if not cleaned or not cleaned[0].isalpha():
        cleaned = f"j-{cleaned}".rstrip("-")
    digest = hashlib.sha256(text.encode()).hexdigest()[:6]
    return f"{cleaned[: limit - 7].rstrip('-')}-{digest}"
