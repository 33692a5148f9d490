"""The spec of a job that is made from another one: continued from a checkpoint, or merged. Pure."""

from typing import Any

from fettle_api.errors import CheckpointNotFoundError, JobStateError, NothingToMergeError
from fettle_api.resources.models import CheckpointView, JobView
from fettle_schema.vocabulary import Phase

_NOT_COPIED = ("startFrom", "suspend", "cancel")


def resumed_spec(source: JobView, checkpoint: str | None) -> dict[str, Any]:
    """All of the source but its output's name; without `checkpoint` the trainer takes the newest that is whole."""
    spec = {name: value for name, value in source.spec.manifest().items() if name not in _NOT_COPIED}
    spec["output"] = {name: value for name, value in spec["output"].items() if name != "adapterName"}
    spec["startFrom"] = {"trainingJob": source.name, "checkpoint": checkpoint or "latest"}
    return spec


def merge_spec(source: JobView) -> dict[str, Any]:
    """Merging goes tensor by tensor on the CPU of one node; base model, pods and credentials are the source's."""
    spec = source.spec.manifest()
    copied = {name: spec[name] for name in ("baseModel", "runtime", "scheduling", "credentials") if spec.get(name)}
    resources = {**spec["resources"], "gpusPerNode": 0, "nodes": 1}
    return {**copied, "method": "merge", "resources": resources, "startFrom": {"trainingJob": source.name}}


def choose_checkpoint(source: JobView, checkpoints: list[CheckpointView], wanted: str | None) -> CheckpointView:
    """The one that is wanted, else the newest. Raises JobStateError, CheckpointNotFoundError."""
    if not source.is_finished:
        raise JobStateError(f"training job {source.name!r} has not ended; cancel it first")
    names = [checkpoint.name for checkpoint in checkpoints]
    if not checkpoints:
        raise CheckpointNotFoundError(f"training job {source.name!r} has no checkpoint", names)
    if wanted is None:
        return checkpoints[0]
    found = next((checkpoint for checkpoint in checkpoints if checkpoint.name == wanted), None)
    if found is None:
        raise CheckpointNotFoundError(f"training job {source.name!r} has no checkpoint {wanted[:80]!r}", names)
    return found


def check_merge(source: JobView) -> str:
    """The path of the adapter. Raises JobStateError, NothingToMergeError."""
    if source.phase is not Phase.SUCCEEDED:
        raise JobStateError(f"training job {source.name!r} has not completed")
    output = source.status.output
    if source.spec.adapter.type == "none" or (output is not None and output.kind != "adapter"):
        raise NothingToMergeError(f"training job {source.name!r} published no adapter")
    return output.path if output is not None else ""
