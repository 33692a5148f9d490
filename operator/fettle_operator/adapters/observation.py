"""What one pass over an Adapter looks at, read before anything is decided. Values only."""

from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

from pydantic import ValidationError

from fettle_operator.observation import Refusal
from fettle_operator.plan import Manifest
from fettle_operator.serving.views import ServingView
from fettle_schema.adapter import AdapterSpec, AdapterStatus
from fettle_schema.artifact import ArtifactRequest
from fettle_schema.names import FINALIZER_LOADED


@dataclass(frozen=True)
class AdapterObservation:
    """One Adapter and all that its next step depends on."""

    adapter: Manifest
    """The Adapter."""
    examination: Manifest | None = None
    """The batch Job that examines its files, whoever it belongs to."""
    pods: tuple[Manifest, ...] = ()
    """Pods of that Job."""
    source_job: Manifest | None = None
    """The TrainingJob of `spec.source`."""
    has_claim: bool = True
    """Whether the namespace has the workspace claim."""
    serving: ServingView | None = None
    """What engines have; None before they were asked for the first time."""
    refusal: Refusal | None = None
    """What the API server just said to a Job."""

    @property
    def name(self) -> str:
        """Name of the Adapter."""
        return str(self.adapter["metadata"]["name"])

    @property
    def uid(self) -> str:
        """Its uid."""
        return str(self.adapter["metadata"]["uid"])

    @property
    def generation(self) -> int:
        """Generation of its spec."""
        return int(self.adapter["metadata"].get("generation", 0))

    @property
    def deleted_at(self) -> datetime | None:
        """When its deletion was asked for."""
        time = self.adapter["metadata"].get("deletionTimestamp")
        return datetime.fromisoformat(time) if time else None

    @property
    def has_finalizer(self) -> bool:
        """Whether engines have it, or may."""
        return has_finalizer(self.adapter)

    @cached_property
    def spec(self) -> AdapterSpec:
        """Its spec; raises pydantic's ValidationError if it is not one."""
        return AdapterSpec.model_validate(self.adapter["spec"])

    @cached_property
    def status(self) -> AdapterStatus:
        """Its status."""
        return parse_adapter_status(self.adapter)


def has_finalizer(adapter: Manifest) -> bool:
    """Whether engines have an Adapter, or may."""
    return FINALIZER_LOADED in (adapter["metadata"].get("finalizers") or [])


def parse_adapter_status(adapter: Manifest) -> AdapterStatus:
    """The status of an Adapter; fields that this version does not know are left out."""
    known = {field.alias or name for name, field in AdapterStatus.model_fields.items()}
    return AdapterStatus.model_validate({k: v for k, v in (adapter.get("status") or {}).items() if k in known})


def request_of(examination: Manifest) -> ArtifactRequest | None:
    """What a Job examines; None if this version did not make it."""
    container = examination["spec"]["template"]["spec"]["containers"][0]
    try:
        return ArtifactRequest.model_validate_json((container.get("args") or [""])[-1])
    except ValidationError:
        return None


def is_current(spec: AdapterSpec, status: AdapterStatus) -> bool:
    """Whether path and digest of a status are those of the spec."""
    has_digest = status.digest is not None and spec.digest in (None, status.digest)
    return status.path is not None and has_digest and status.source in (None, spec.source)
