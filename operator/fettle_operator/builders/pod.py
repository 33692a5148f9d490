"""The pod of a run: restricted, no token for the API server, all it needs in volumes and variables. Pure."""

from decimal import Decimal
from typing import Any

from fettle_operator.plan import Manifest
from fettle_operator.settings import OperatorSettings
from fettle_schema import names
from fettle_schema.training_job import ResourcesSpec, RuntimeSpec, TrainingJobSpec

RUN_AS = 65532
TRAINER_COMMAND = ["python", "-m", "fettle_trainer"]
RUN_FILE_PATH = f"{names.RUN_CONFIG_DIRECTORY}/{names.RUN_CONFIG_KEY}"


def build_pod_spec(job: Manifest, spec: TrainingJobSpec, attempt: int, settings: OperatorSettings) -> Manifest:
    """The spec of one node's pod."""
    runtime = spec.runtime
    return {
        **pod_frame(settings, grace_period_seconds(spec, settings)),
        "containers": [_container(job, spec, attempt, settings)],
        "volumes": _volumes(job, spec, attempt, settings),
        **_placement(runtime),
    }


def pod_frame(settings: OperatorSettings, grace_period_seconds: int) -> Manifest:
    """What every pod in the trainer image has around its container: no token, no privilege, no restart."""
    return {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": settings.trainer_service_account,
        "terminationGracePeriodSeconds": grace_period_seconds,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": RUN_AS,
            "runAsGroup": RUN_AS,
            "fsGroup": RUN_AS,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }


def container_security() -> Manifest:
    """The same of its container."""
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }


def grace_period_seconds(spec: TrainingJobSpec, settings: OperatorSettings) -> int:
    """Time for a last checkpoint."""
    return spec.runtime.termination_grace_period_seconds or settings.termination_grace_period_seconds


def image(spec: TrainingJobSpec, settings: OperatorSettings) -> str:
    """The image that a new attempt uses."""
    return spec.runtime.image or settings.trainer_image


def _container(job: Manifest, spec: TrainingJobSpec, attempt: int, settings: OperatorSettings) -> Manifest:
    container: dict[str, Any] = {
        "name": names.CONTAINER_NAME,
        "image": image(spec, settings),
        "imagePullPolicy": settings.trainer_image_pull_policy,
        "command": spec.runtime.command or TRAINER_COMMAND,
        "args": [RUN_FILE_PATH],
        "env": _environment(job, spec, attempt, settings),
        "resources": _resources(spec.resources, settings),
        "terminationMessagePath": names.TERMINATION_MESSAGE_PATH,
        "terminationMessagePolicy": "File",
        "securityContext": container_security(),
        "volumeMounts": _mounts(settings),
    }
    if spec.credentials.secret_name is not None:
        container["envFrom"] = [{"secretRef": {"name": spec.credentials.secret_name, "optional": False}}]
    return container


def _environment(job: Manifest, spec: TrainingJobSpec, attempt: int, settings: OperatorSettings) -> list[Manifest]:
    metadata = job["metadata"]
    values = {
        names.ENV_WORKSPACE: names.WORKSPACE_DIRECTORY,
        names.ENV_TERMINATION_MESSAGE_PATH: names.TERMINATION_MESSAGE_PATH,
        "HF_HOME": f"{names.WORKSPACE_DIRECTORY}/huggingface",
        "HOME": "/tmp",  # noqa: S108 - an emptyDir of the pod
        "OMP_NUM_THREADS": str(_threads(spec.resources, settings)),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    if settings.receiver_url is not None:
        path = f"namespaces/{metadata['namespace']}/trainingjobs/{metadata['name']}/attempts/{attempt}"
        url = f"{settings.receiver_url.rstrip('/')}/progress/v1/{path}"
        token_file = f"{names.PROGRESS_TOKEN_DIRECTORY}/{names.PROGRESS_TOKEN_KEY}"
        values |= {names.ENV_PROGRESS_URL: url, names.ENV_PROGRESS_TOKEN_FILE: token_file}
        if spec.runtime.command is not None:  # our own trainer would report twice
            values |= {names.ENV_TRANSFORMERS_URL: url, names.ENV_TRANSFORMERS_TOKEN_FILE: token_file}
    values.update({variable.name: variable.value for variable in spec.runtime.env})
    return [{"name": name, "value": value} for name, value in values.items()]


def _threads(resources: ResourcesSpec, settings: OperatorSettings) -> int:
    """Whole CPUs that one process may use; more threads than that cost tenfold."""
    quantity = resources.cpu or settings.trainer_cpu_limit or settings.trainer_cpu_request
    cpus = Decimal(quantity[:-1]) / 1000 if quantity.endswith("m") else Decimal(quantity)
    return max(1, int(cpus) // max(1, resources.gpus_per_node))


def _resources(resources: ResourcesSpec, settings: OperatorSettings) -> Manifest:
    requests = {
        "cpu": resources.cpu or settings.trainer_cpu_request,
        "memory": resources.memory or settings.trainer_memory_request,
    }
    limits = {
        "cpu": resources.cpu or settings.trainer_cpu_limit,
        "memory": resources.memory or settings.trainer_memory_limit,
    }
    if resources.gpus_per_node > 0:
        requests[resources.gpu_resource] = str(resources.gpus_per_node)
        limits[resources.gpu_resource] = str(resources.gpus_per_node)
    answer = {"requests": requests, "limits": {name: value for name, value in limits.items() if value is not None}}
    return {name: value for name, value in answer.items() if value}


def _mounts(settings: OperatorSettings) -> list[Manifest]:
    mounts: list[Manifest] = [
        {"name": "workspace", "mountPath": names.WORKSPACE_DIRECTORY},
        {"name": "run-config", "mountPath": names.RUN_CONFIG_DIRECTORY, "readOnly": True},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod
        {"name": "shared-memory", "mountPath": "/dev/shm"},  # noqa: S108 - the same
    ]
    if settings.receiver_url is not None:
        mounts.append({"name": "progress-token", "mountPath": names.PROGRESS_TOKEN_DIRECTORY, "readOnly": True})
    return mounts


def _volumes(job: Manifest, spec: TrainingJobSpec, attempt: int, settings: OperatorSettings) -> list[Manifest]:
    metadata, resources = job["metadata"], spec.resources
    shared_memory = resources.shared_memory or f"{max(1, resources.gpus_per_node)}Gi"
    volumes: list[Manifest] = [
        {"name": "workspace", "persistentVolumeClaim": {"claimName": settings.workspace_claim}},
        {"name": "run-config", "configMap": {"name": names.attempt_name(metadata["name"], attempt)}},
        {"name": "tmp", "emptyDir": {}},
        {"name": "shared-memory", "emptyDir": {"medium": "Memory", "sizeLimit": shared_memory}},
    ]
    if settings.receiver_url is not None:
        token = {
            "audience": names.progress_audience(metadata["namespace"], metadata["name"], attempt),
            "expirationSeconds": settings.progress_token_seconds,
            "path": names.PROGRESS_TOKEN_KEY,
        }
        volumes.append({"name": "progress-token", "projected": {"sources": [{"serviceAccountToken": token}]}})
    return volumes


def _placement(runtime: RuntimeSpec) -> Manifest:
    given = runtime.manifest()
    names_in_pod = (
        "nodeSelector",
        "tolerations",
        "affinity",
        "runtimeClassName",
        "priorityClassName",
        "imagePullSecrets",
    )
    return {name: given[name] for name in names_in_pod if given.get(name)}
