"""The port to wherever resources live: an API server, or the store of one machine."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from fettle_schema.errors import FettleError

Manifest = dict[str, Any]
"""A resource as JSON values: apiVersion, kind, metadata, and what else the kind has."""


@dataclass(frozen=True)
class ResourceKind:
    """How to reach a kind: `ResourceKind("batch/v1", "Job", "jobs")`."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True


TRAINING_JOBS = ResourceKind("fettle.dev/v1alpha1", "TrainingJob", "trainingjobs")
ADAPTERS = ResourceKind("fettle.dev/v1alpha1", "Adapter", "adapters")
JOBS = ResourceKind("batch/v1", "Job", "jobs")
PODS = ResourceKind("v1", "Pod", "pods")
CONFIG_MAPS = ResourceKind("v1", "ConfigMap", "configmaps")
SERVICES = ResourceKind("v1", "Service", "services")
SECRETS = ResourceKind("v1", "Secret", "secrets")
EVENTS = ResourceKind("v1", "Event", "events")
LEASES = ResourceKind("coordination.k8s.io/v1", "Lease", "leases")
CLAIMS = ResourceKind("v1", "PersistentVolumeClaim", "persistentvolumeclaims")


@dataclass(frozen=True)
class WatchEvent:
    """One change. BOOKMARK events are consumed by the client and never seen here."""

    type: Literal["ADDED", "MODIFIED", "DELETED"]
    manifest: Manifest


@dataclass(frozen=True)
class Synced:
    """Everything that was there has been told; what comes now are changes after this version."""

    resource_version: str


@dataclass(frozen=True)
class ResourceList:
    """A consistent list and the version to watch from."""

    items: list[Manifest]
    resource_version: str


class ApiError(FettleError):
    """The API server refused; `status` is the HTTP status, `code` its reason (NotFound, Conflict, …)."""

    def __init__(self, status: int, code: str, message: str, details: Mapping[str, Any] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.details = dict(details or {})


class NotFoundError(ApiError):
    """404."""


class AlreadyExistsError(ApiError):
    """409 on create."""


class ConflictError(ApiError):
    """409 on update or apply: someone else wrote, read again."""


class GoneError(ApiError):
    """410: the resourceVersion is too old, list again."""


class InvalidError(ApiError):
    """422 or 400: the manifest is refused; `details.causes` names fields."""


class UnavailableError(ApiError):
    """The server cannot be reached, is overloaded or answers 5xx after retries: try later."""


class ResourceClient(Protocol):
    """Raw manifests in and out. All calls have timeouts; reads and conditional writes retry 429 and 5xx themselves."""

    async def get(self, kind: ResourceKind, name: str, namespace: str) -> Manifest:
        """Raises NotFoundError."""
        ...

    async def list(
        self,
        kind: ResourceKind,
        namespace: str | None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> ResourceList:
        """All items; `namespace` None means every namespace."""
        ...

    def pages(self, kind: ResourceKind, namespace: str | None) -> AsyncIterator[ResourceList]:
        """The same in parts, all as of one resourceVersion, so that not all have to be held at once.

        Raises GoneError when that takes too long: begin again.
        """
        ...

    def watch(
        self,
        kind: ResourceKind,
        namespace: str | None,
        resource_version: str,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncIterator[WatchEvent]:
        """Changes after `resource_version`, resumed over disconnections; raises GoneError when history is lost."""
        ...

    def observe(self, kind: ResourceKind, namespace: str | None) -> AsyncIterator[WatchEvent | Synced]:
        """Everything that is there, one by one as ADDED, then `Synced`, then changes as `watch` tells them.

        Raises GoneError when history is lost: begin again, and forget what was not told until `Synced`.
        """
        ...

    async def create(self, kind: ResourceKind, manifest: Manifest, dry_run: bool = False) -> Manifest:
        """Raises AlreadyExistsError, InvalidError."""
        ...

    async def replace(self, kind: ResourceKind, manifest: Manifest) -> Manifest:
        """Replace by metadata.resourceVersion; raises ConflictError, NotFoundError, InvalidError."""
        ...

    async def patch(
        self,
        kind: ResourceKind,
        name: str,
        namespace: str,
        patch: Manifest,
        resource_version: str | None = None,
    ) -> Manifest:
        """JSON merge patch of everything but status, on condition of `resource_version` if given."""
        ...

    async def apply(self, kind: ResourceKind, manifest: Manifest, field_manager: str, force: bool = True) -> Manifest:
        """Server-side apply; creates the resource if needed. Raises ConflictError, InvalidError."""
        ...

    async def apply_status(
        self,
        kind: ResourceKind,
        name: str,
        namespace: str,
        status: Manifest,
        field_manager: str,
        resource_version: str | None = None,
        uid: str | None = None,
    ) -> Manifest:
        """Server-side apply of `status`: fields that this manager owned and no longer names are removed.

        Raises ConflictError if the resource has changed since `resource_version`, or is another than `uid`.
        """
        ...

    async def delete(
        self,
        kind: ResourceKind,
        name: str,
        namespace: str,
        uid: str | None = None,
        propagation: Literal["Foreground", "Background"] = "Background",
    ) -> None:
        """Idempotent: nothing there (or another uid there) is success."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...
