"""What an Adapter wants of engines, read from its manifest. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto

from pydantic import ValidationError

from fettle_operator import conditions
from fettle_operator.adapters.examination import is_fresh
from fettle_operator.adapters.observation import has_finalizer, is_current, parse_adapter_status
from fettle_operator.plan import Key, Manifest, key_of
from fettle_operator.serving.pods import label_selector
from fettle_operator.settings import OperatorSettings
from fettle_schema.adapter import AdapterSpec, AdapterStatus
from fettle_schema.layout import ADAPTERS
from fettle_schema.vocabulary import AdapterConditionType


class Wish(Enum):
    """What engines should do about one Adapter."""

    LOAD = auto()
    HOLD = auto()
    """Leave what they have: its files are not verified, or cannot be used."""
    UNLOAD = auto()


@dataclass(frozen=True)
class Candidate:
    """One Adapter that concerns engines."""

    key: Key
    uid: str
    created: str
    wish: Wish
    served_name: str
    path: str
    """Of its version, as engines spell it."""
    own_paths: str
    """What all its versions' paths begin with."""
    rank: int | None
    base_model: str
    selector: str
    port: int
    api_key_name: str | None
    seen: Mapping[str, str | None] = field(default_factory=dict)
    """What pods had of it when its status was written, by their uid."""
    seen_names: Mapping[str, str] = field(default_factory=dict)
    """The names of those that had something."""

    @property
    def seniority(self) -> tuple[str, str]:
        """Of two Adapters with one served name, the lower has it."""
        return self.created, self.uid


def candidate(adapter: Manifest, now: datetime, settings: OperatorSettings) -> Candidate | None:
    """The Adapter as far as engines are concerned; None if it does not concern them, or cannot be read."""
    try:
        spec, status = AdapterSpec.model_validate(adapter["spec"]), parse_adapter_status(adapter)
    except ValidationError:  # the CRD is newer or older than this program
        return None
    wish, metadata = _wish(adapter, spec, status, now, settings), adapter["metadata"]
    if wish is None:
        return None
    instances = status.instances or []
    return Candidate(
        key=key_of(adapter),
        uid=metadata["uid"],
        created=metadata["creationTimestamp"],
        wish=wish,
        served_name=spec.served_name or metadata["name"],
        path=f"{settings.engine_workspace}/{status.path}",
        own_paths=f"{settings.engine_workspace}/{ADAPTERS}/{metadata['name']}/",
        rank=status.rank,
        base_model=spec.base_model.id,
        selector=label_selector(spec.serving),
        port=spec.serving.port,
        api_key_name=spec.serving.api_key_name,
        seen={one.pod_uid: one.path for one in instances},
        seen_names={one.pod_uid: one.pod for one in instances if one.path is not None},
    )


def _wish(
    adapter: Manifest, spec: AdapterSpec, status: AdapterStatus, now: datetime, settings: OperatorSettings
) -> Wish | None:
    is_marked = has_finalizer(adapter)
    if adapter["metadata"].get("deletionTimestamp") or not spec.serving.load:
        return Wish.UNLOAD if is_marked else None
    is_usable = all(
        conditions.is_true(status.conditions, kind)
        for kind in (AdapterConditionType.ARTIFACT_READY, AdapterConditionType.COMPATIBLE)
    )
    is_verified = is_fresh(status.verified_at, now, settings.verification_seconds)
    return Wish.LOAD if is_marked and is_usable and is_verified and is_current(spec, status) else Wish.HOLD
