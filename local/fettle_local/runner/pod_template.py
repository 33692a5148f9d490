"""What a pod manifest asks of one machine. Pure. A field that is not known here is refused by name, never ignored."""

import re
from dataclasses import dataclass
from typing import Any, Literal

from fettle_client.protocol import Manifest
from fettle_schema.errors import FettleError
from fettle_schema.names import TERMINATION_MESSAGE_PATH

_DEFAULT_GRACE_SECONDS = 30

_POD_FIELDS = frozenset({"containers", "volumes", "restartPolicy", "terminationGracePeriodSeconds"})
_POD_FIELDS_WITHOUT_EFFECT = frozenset(
    {
        # This machine is the only node, its user runs everything, and there is no network between pods.
        *("affinity", "nodeSelector", "tolerations", "topologySpreadConstraints", "priorityClassName"),
        *("runtimeClassName", "imagePullSecrets", "securityContext", "serviceAccountName"),
        *("automountServiceAccountToken", "enableServiceLinks", "dnsPolicy", "schedulerName"),
    }
)
_CONTAINER_FIELDS = frozenset(
    {"name", "command", "args", "env", "envFrom", "resources", "volumeMounts", "workingDir", "terminationMessagePath"}
)
_CONTAINER_FIELDS_WITHOUT_EFFECT = frozenset(
    {"image", "imagePullPolicy", "securityContext", "terminationMessagePolicy", "ports"}
)
_VOLUME_KINDS = ("configMap", "persistentVolumeClaim", "emptyDir")
_PLAIN_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})


class UnsupportedPodError(FettleError):
    """A pod uses something that one machine does not have; the message names the field."""

    code = "PodRefused"


class UnschedulableError(FettleError):
    """A pod that one machine can never run, but a cluster could."""

    code = "Unschedulable"


@dataclass(frozen=True)
class Volume:
    """One directory that the container sees."""

    name: str
    kind: Literal["configMap", "persistentVolumeClaim", "emptyDir"]
    source: str
    """Name of the ConfigMap or claim; empty for emptyDir."""
    mount_path: str


@dataclass(frozen=True)
class ContainerRun:
    """The one container of a pod, ready to become a process."""

    name: str
    command: list[str]
    env: dict[str, str]
    secrets: list[tuple[str, bool]]
    """Secrets whose keys become variables, and whether each may be missing."""
    volumes: list[Volume]
    termination_message_path: str
    working_directory: str | None
    grace_seconds: int
    gpus: int


def container_run(pod: Manifest) -> ContainerRun:
    """Read a pod manifest; raises UnsupportedPodError or UnschedulableError."""
    spec = pod["spec"]
    if spec.get("subdomain"):
        raise UnschedulableError("0/1 nodes are available: this machine is one node; set spec.resources.nodes to 1.")
    _refuse_unknown(spec, _POD_FIELDS | _POD_FIELDS_WITHOUT_EFFECT, "spec")
    if len(spec.get("containers", [])) != 1:
        raise UnsupportedPodError("spec.containers: one machine runs pods of exactly one container")
    if spec.get("restartPolicy") != "Never":
        raise UnsupportedPodError("spec.restartPolicy: must be Never on one machine")
    container, where = spec["containers"][0], "spec.containers[0]"
    _refuse_unknown(container, _CONTAINER_FIELDS | _CONTAINER_FIELDS_WITHOUT_EFFECT, where)
    if not container.get("command"):
        raise UnsupportedPodError(f"{where}.command: Required value: there is no image whose command could be used")
    return ContainerRun(
        name=container["name"],
        command=[*container["command"], *container.get("args", [])],
        env=_environment(container.get("env", []), f"{where}.env"),
        secrets=_secrets(container.get("envFrom", []), f"{where}.envFrom"),
        volumes=_volumes(spec.get("volumes", []), container.get("volumeMounts", [])),
        termination_message_path=container.get("terminationMessagePath", TERMINATION_MESSAGE_PATH),
        working_directory=container.get("workingDir"),
        grace_seconds=int(spec.get("terminationGracePeriodSeconds") or _DEFAULT_GRACE_SECONDS),
        gpus=_gpus(container.get("resources", {}), f"{where}.resources"),
    )


def rewrite_path(text: str, directories: dict[str, str]) -> str:
    """`text` with the mount path that it starts with replaced by the directory behind it."""
    for mount_path in sorted(directories, key=len, reverse=True):
        if text == mount_path or text.startswith(f"{mount_path}/"):
            return directories[mount_path] + text[len(mount_path) :]
    return text


def _refuse_unknown(value: dict[str, Any], known: frozenset[str], where: str) -> None:
    unknown = sorted(name for name, item in value.items() if name not in known and item not in (None, [], {}))
    if unknown:
        raise UnsupportedPodError(f"{where}.{unknown[0]}: not supported on one machine")


def _environment(entries: list[dict[str, Any]], where: str) -> dict[str, str]:
    result: dict[str, str] = {}
    for index, entry in enumerate(entries):
        _refuse_unknown(entry, frozenset({"name", "value"}), f"{where}[{index}]")
        value = entry.get("value") or ""
        result[entry["name"]] = re.sub(r"\$\(([^()]+)\)", lambda match: result.get(match[1], match[0]), value)
    return result


def _secrets(entries: list[dict[str, Any]], where: str) -> list[tuple[str, bool]]:
    for index, entry in enumerate(entries):
        _refuse_unknown(entry, frozenset({"secretRef"}), f"{where}[{index}]")
    references = [entry["secretRef"] for entry in entries]
    return [(reference["name"], bool(reference.get("optional"))) for reference in references]


def _volumes(volumes: list[dict[str, Any]], mounts: list[dict[str, Any]]) -> list[Volume]:
    by_name = {volume["name"]: volume for volume in volumes}
    for index, volume in enumerate(volumes):
        _refuse_unknown(volume, frozenset({"name", *_VOLUME_KINDS}), f"spec.volumes[{index}]")
    return [_volume(by_name[mount["name"]], mount["mountPath"]) for mount in mounts]


def _volume(volume: dict[str, Any], mount_path: str) -> Volume:
    if "configMap" in volume:
        return Volume(volume["name"], "configMap", volume["configMap"]["name"], mount_path)
    if "persistentVolumeClaim" in volume:
        return Volume(volume["name"], "persistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"], mount_path)
    return Volume(volume["name"], "emptyDir", "", mount_path)


def _gpus(resources: dict[str, Any], where: str) -> int:
    limits = {**resources.get("requests", {}), **resources.get("limits", {})}
    extended = {name: int(quantity) for name, quantity in limits.items() if name not in _PLAIN_RESOURCES}
    unknown = sorted(name for name, quantity in extended.items() if quantity and not name.endswith("/gpu"))
    if unknown:
        raise UnsupportedPodError(f"{where}.limits: {unknown[0]!r} is not offered by this machine")
    return sum(extended.values())
