"""What a node offers besides CPU and memory: volumes for claims, and GPUs that are only numbers.

`provisioner` repeats these steps as long as the cluster runs. Volumes are of the type `local`, because the
kubelet applies fsGroup to them, and not to hostPath.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from tests.cluster.api_client import ApiClient
from tests.cluster.credentials import NODE_NAME

STORAGE_CLASS = "standard"
PROVISIONER = "fettle.dev/test-local"
GPU_RESOURCE = "nvidia.com/gpu"
VOLUMES = "/api/v1/persistentvolumes"
Manifest = dict[str, Any]


def volumes_path(home: Path) -> Path:
    """The folder that holds one folder for each volume."""
    return home / "volumes"


def volume_path(home: Path, namespace: str, claim: str, uid: str) -> Path:
    """The folder of one claim's volume."""
    return volumes_path(home) / f"{namespace}_{claim}_{uid[:8]}"


def create_storage_class(api: ApiClient) -> None:
    """Creates the default StorageClass, whose claims are bound at once."""
    default = {"storageclass.kubernetes.io/is-default-class": "true"}
    manifest = {
        "metadata": {"name": STORAGE_CLASS, "annotations": default},
        "provisioner": PROVISIONER,
        "reclaimPolicy": "Delete",
        "volumeBindingMode": "Immediate",
    }
    api.create("/apis/storage.k8s.io/v1/storageclasses", manifest)


def bind_claims(api: ApiClient, home: Path) -> None:
    """Makes a volume for each claim that waits for one."""
    for claim in api.items("/api/v1/persistentvolumeclaims"):
        spec, metadata = claim["spec"], claim["metadata"]
        waits = not spec.get("volumeName") and "deletionTimestamp" not in metadata
        if waits and spec.get("storageClassName") == STORAGE_CLASS:
            path = volume_path(home, metadata["namespace"], metadata["name"], metadata["uid"])
            path.mkdir(parents=True, exist_ok=True)
            api.create(VOLUMES, build_volume(claim, path))


def build_volume(claim: Manifest, path: Path) -> Manifest:
    """The PersistentVolume for one claim, on our node and in that folder."""
    metadata, spec = claim["metadata"], claim["spec"]
    on_our_node = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE_NAME]}
    return {
        "metadata": {
            "name": f"pvc-{metadata['uid']}",
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
        },
        "spec": {
            "capacity": spec["resources"]["requests"],
            "accessModes": spec["accessModes"],
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": STORAGE_CLASS,
            "local": {"path": str(path)},
            "claimRef": {key: metadata[key] for key in ("namespace", "name", "uid")},
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_our_node]}]}},
        },
    }


def remove_released(api: ApiClient) -> None:
    """Removes the volumes whose claim is gone, with their files."""
    for volume in api.items(VOLUMES):
        ours = volume["spec"].get("storageClassName") == STORAGE_CLASS
        if ours and volume["status"].get("phase") in ("Released", "Failed"):
            shutil.rmtree(volume["spec"]["local"]["path"], ignore_errors=True)
            api.delete(f"{VOLUMES}/{volume['metadata']['name']}")


def offer_gpus(api: ApiClient, count: int) -> bool:
    """Says on the node that it has GPUs, as a device plugin would; whether pods can ask for them now.

    Not once for all: the kubelet sets resources that it does not know to 0 when it starts.
    """
    path = f"/api/v1/nodes/{NODE_NAME}"
    status = (api.get(path) or {}).get("status", {})
    wanted = {GPU_RESOURCE: str(count)}
    fields = ("capacity", "allocatable")
    if all(wanted.items() <= status.get(field, {}).items() for field in fields):
        return True
    if status:
        api.patch(f"{path}/status", {"status": dict.fromkeys(fields, wanted)})
    return False
