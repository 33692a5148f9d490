"""What a round over the engines found out, as far as one Adapter is concerned. Values only."""

from dataclasses import dataclass

from fettle_schema.reasons import Reason


@dataclass(frozen=True)
class Problem:
    """Why an engine does not have an adapter that it should have."""

    reason: Reason
    words: str
    """The engine's own, where it said something."""


@dataclass(frozen=True)
class InstanceView:
    """One engine pod."""

    pod: str
    pod_uid: str
    is_ready: bool
    is_known: bool
    """Whether it has told what it has; if not, `path` is what it told last."""
    path: str | None = None
    """What it has under the Adapter's served name, as the engine spells it."""
    problem: Problem | None = None
    url: str | None = None
    """Where it answers; None while it is not ready."""


@dataclass(frozen=True)
class ServingView:
    """All engine pods of one Adapter."""

    instances: tuple[InstanceView, ...] = ()
    is_unwanted: bool = False
    """Whether the round was to unload it: only then does it tell of what pods have under any name of the Adapter, and
    nobody has begun to load it since."""
