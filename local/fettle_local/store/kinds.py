"""Which kinds the store keeps, and what is special about each. Everything else is refused by name."""

from dataclasses import dataclass

from fettle_client.protocol import (
    ADAPTERS,
    CLAIMS,
    CONFIG_MAPS,
    EVENTS,
    JOBS,
    LEASES,
    PODS,
    SECRETS,
    SERVICES,
    TRAINING_JOBS,
    InvalidError,
    Manifest,
    ResourceKind,
)

_NAME_FIELDS = frozenset({"metadata.name", "metadata.namespace"})


@dataclass(frozen=True)
class StoredKind:
    """One kind that the store keeps."""

    kind: ResourceKind
    is_ours: bool = False
    """Defaults and rules of fettle_schema apply."""
    has_status: bool = True
    """`status` is written by apply_status only."""
    selectable_fields: frozenset[str] = frozenset()
    """What a field selector may name besides name and namespace."""

    @property
    def all_selectable_fields(self) -> frozenset[str]:
        """What a field selector may name."""
        return self.selectable_fields | _NAME_FIELDS


_KINDS = [
    StoredKind(
        TRAINING_JOBS,
        is_ours=True,
        selectable_fields=frozenset({"status.phase", "spec.scheduling.queue", "spec.method"}),
    ),
    StoredKind(ADAPTERS, is_ours=True, selectable_fields=frozenset({"status.phase"})),
    StoredKind(JOBS),
    StoredKind(PODS, selectable_fields=frozenset({"status.phase", "spec.nodeName"})),
    StoredKind(CONFIG_MAPS, has_status=False),
    StoredKind(SECRETS, has_status=False),
    StoredKind(SERVICES),
    StoredKind(
        EVENTS,
        has_status=False,
        selectable_fields=frozenset(f"involvedObject.{name}" for name in ("kind", "name", "namespace", "uid")),
    ),
    StoredKind(LEASES, has_status=False),
    StoredKind(CLAIMS),
]
STORED_KINDS = {stored.kind.kind: stored for stored in _KINDS}


def stored_kind(kind: ResourceKind) -> StoredKind:
    """Raises InvalidError, naming the kinds that are kept, for any other."""
    stored = STORED_KINDS.get(kind.kind)
    if stored is None or stored.kind.api_version != kind.api_version:
        message = f"kind {kind.kind!r} of {kind.api_version!r} is not kept on one machine; kept: "
        raise InvalidError(400, "BadRequest", message + ", ".join(STORED_KINDS))
    return stored


def check_kind(stored: StoredKind, manifest: Manifest) -> None:
    """Refuse a manifest that names another kind than it is written as."""
    for name, expected in (("apiVersion", stored.kind.api_version), ("kind", stored.kind.kind)):
        if manifest.get(name) != expected:
            raise InvalidError(
                400,
                "BadRequest",
                f"{name}: expected {expected!r}, found {manifest.get(name)!r}",
                {"causes": [{"field": name, "message": f"expected {expected!r}"}]},
            )
