"""The batch Job that examines an Adapter's files: the trainer image with the workspace, and nothing of a run. Pure."""

from typing import Any

from fettle_operator.builders.metadata import owner_reference
from fettle_operator.builders.node_of_workspace import beside_the_workspace
from fettle_operator.builders.pod import container_security, pod_frame
from fettle_operator.plan import Manifest
from fettle_operator.settings import OperatorSettings
from fettle_schema import names
from fettle_schema.artifact import ArtifactRequest

COMMAND = ["python", "-m", "fettle_trainer.register"]
_GRACE_PERIOD_SECONDS = 10
_DEADLINE_SECONDS = 1800
_RESOURCES = {"requests": {"cpu": "100m", "memory": "256Mi"}}


def build_examination_job(adapter: Manifest, request: ArtifactRequest, settings: OperatorSettings) -> Manifest:
    """One pod that reads and answers; it fails only by its surroundings, and then it is made again."""
    metadata = adapter["metadata"]
    labels = {
        names.LABEL_MANAGED_BY: names.MANAGED_BY,
        names.LABEL_ADAPTER: metadata["name"],
        names.LABEL_ADAPTER_UID: metadata["uid"],
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": names.examination_name(metadata["name"], metadata["uid"]),
            "namespace": metadata["namespace"],
            "labels": labels,
            "ownerReferences": [owner_reference(adapter, "Adapter")],
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": _DEADLINE_SECONDS,
            "template": beside_the_workspace(
                {"metadata": {"labels": labels}, "spec": _pod_spec(request, settings)}, settings
            ),
        },
    }


def _pod_spec(request: ArtifactRequest, settings: OperatorSettings) -> Manifest:
    environment = {
        names.ENV_WORKSPACE: names.WORKSPACE_DIRECTORY,
        names.ENV_TERMINATION_MESSAGE_PATH: names.TERMINATION_MESSAGE_PATH,
        "HF_HOME": f"{names.WORKSPACE_DIRECTORY}/huggingface",
        "HOME": "/tmp",  # noqa: S108 - an emptyDir of the pod
    }
    container: dict[str, Any] = {
        "name": names.CONTAINER_NAME,
        "image": settings.trainer_image,
        "imagePullPolicy": settings.trainer_image_pull_policy,
        "command": COMMAND,
        "args": [request.model_dump_json(by_alias=True, exclude_none=True)],
        "env": [{"name": name, "value": value} for name, value in environment.items()],
        "resources": _RESOURCES,
        "terminationMessagePath": names.TERMINATION_MESSAGE_PATH,
        "terminationMessagePolicy": "File",
        "securityContext": container_security(),
        "volumeMounts": [
            {"name": "workspace", "mountPath": names.WORKSPACE_DIRECTORY},
            {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108 - an emptyDir of the pod
        ],
    }
    return {
        **pod_frame(settings, _GRACE_PERIOD_SECONDS),
        "containers": [container],
        "volumes": [
            {"name": "workspace", "persistentVolumeClaim": {"claimName": settings.workspace_claim}},
            {"name": "tmp", "emptyDir": {}},
        ],
    }
