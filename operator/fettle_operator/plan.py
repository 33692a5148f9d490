"""What a reconcile answers: what to write, and when to look again. Values only."""

from dataclasses import dataclass, field
from typing import Any, Literal

Manifest = dict[str, Any]
"""A finished resource as JSON values."""

Key = tuple[str, str]
"""Namespace and name of a resource."""


def key_of(resource: Manifest) -> Key:
    """What queues and indices know it by."""
    return resource["metadata"]["namespace"], resource["metadata"]["name"]


@dataclass(frozen=True)
class Deletion:
    """One resource to delete, and no other of its name."""

    kind: str
    name: str
    uid: str
    propagation: Literal["Foreground", "Background"] = "Background"


@dataclass(frozen=True)
class AdapterStatusWrite:
    """The whole status of an Adapter that a job has something to say about."""

    name: str
    status: Manifest
    resource_version: str | None = None
    """Of the Adapter that it was computed from; None for one that this plan creates or replaces."""
    uid: str | None = None


@dataclass
class Plan:
    """Carried out in the order of the fields; a crash between any two is repaired by the next pass."""

    delete: list[Deletion] = field(default_factory=list)
    """Deleted first, by uid."""
    create: list[Manifest] = field(default_factory=list)
    """Created in this order; "already exists" is success if it is ours."""
    replace: list[Manifest] = field(default_factory=list)
    """Written over what was observed, by resourceVersion."""
    adapter_status: AdapterStatusWrite | None = None
    """What the Adapter that came out, or was benchmarked, is told."""
    status: Manifest | None = None
    """Whole status of the job without the receiver's fields; None if nothing changed."""
    restart_cause: str | None = None
    """Why the last attempt ended, where this status begins another one; only counted."""
    requeue_after_seconds: float | None = None
    """When to look again although nothing happened."""
    settle_seconds: float | None = None
    """For how long not to look again, whatever happens: one look then sees what became of all that was created. Longer
    while other jobs wait to be started."""

    def look_again(self, seconds: float) -> None:
        """Look again after `seconds`, or earlier if something else asked for that."""
        wanted = max(seconds, 0.0)
        earlier = self.requeue_after_seconds
        self.requeue_after_seconds = wanted if earlier is None else min(earlier, wanted)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.delete or self.create or self.replace or self.adapter_status or self.status)
