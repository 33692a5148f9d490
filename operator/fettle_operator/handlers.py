"""Kopf's side: one handler that passes events on, and how Kopf is set up. It watches; it does not decide."""

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import kopf

from fettle_operator.controller import UNFINISHED, Controller
from fettle_schema.base import GROUP, VERSION
from fettle_schema.names import LABEL_MANAGED_BY, MANAGED_BY

_WATCHED = (
    (GROUP, VERSION, "trainingjobs"),
    (GROUP, VERSION, "adapters"),
    ("batch", "v1", "jobs"),
    ("", "v1", "pods"),
)
_OURS = f"{LABEL_MANAGED_BY}={MANAGED_BY}"


def build_registry(controller: Controller) -> kopf.OperatorRegistry:
    """One handler for TrainingJobs, Adapters, and the Jobs and Pods that carry our label."""
    registry = kopf.OperatorRegistry()

    async def pass_on(type: str | None, body: Mapping[str, Any], **_: Any) -> None:
        controller.observe_event(type, dict(body))

    for group, version, plural in _WATCHED:
        kopf.on.event(group, version, plural, registry=registry)(pass_on)
    kopf.on.login(registry=registry, errors=kopf.ErrorsMode.TEMPORARY)(kopf.login_with_service_account)
    kopf.on.login(registry=registry, errors=kopf.ErrorsMode.TEMPORARY)(kopf.login_with_kubeconfig)
    return registry


def build_settings() -> kopf.OperatorSettings:
    """Alone, silent, never giving up; selection happens at the API server."""
    settings = kopf.OperatorSettings()
    settings.peering.standalone = True
    settings.scanning.disabled = True
    settings.posting.enabled = False
    settings.persistence.diffbase_storage = _NoEssence()
    settings.networking.error_backoffs = CappedBackoffs()
    settings.queueing.error_delays = CappedBackoffs()
    settings.watching.field_selectors[f"trainingjobs.{GROUP}"] = UNFINISHED
    settings.watching.label_selectors["batch", "v1", "jobs"] = _OURS
    settings.watching.label_selectors["", "v1", "pods"] = _OURS
    return settings


class _NoEssence:
    """Kopf copies each resource to find out what changed in it. Nobody here asks, and that was a fifth of all work."""

    def build(self, *, body: Any, extra_fields: Any = None) -> Any:
        """Every resource is like every other."""
        return {}

    def fetch(self, *, body: Any) -> Any:
        """Nothing was stored."""
        return None

    def store(self, *, body: Any, patch: Any, essence: Any) -> None:
        """Nothing is."""


class CappedBackoffs:
    """Waits between attempts that never end: 1, 2, 4, 8, then 15 seconds for ever."""

    def __iter__(self) -> Iterator[float]:
        return itertools.chain((1.0, 2.0, 4.0, 8.0), itertools.repeat(15.0))
