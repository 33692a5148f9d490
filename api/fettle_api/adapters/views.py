"""What the dialects see of an Adapter. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from fettle_schema.adapter import AdapterSpec, AdapterStatus
from fettle_schema.layout import ADAPTERS, artifact_directory
from fettle_schema.reasons import Reason

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class AdapterView:
    """An Adapter, whoever made it."""

    name: str
    uid: str
    created_at: datetime
    spec: AdapterSpec
    status: AdapterStatus

    @property
    def served_name(self) -> str:
        """Model name under which engines serve it."""
        return self.spec.served_name or self.name

    @property
    def path(self) -> str | None:
        """Directory of its files inside the workspace; None while they are not there."""
        if self.status.path:
            return self.status.path
        if self.spec.source.workspace is not None:
            return self.spec.source.workspace.path
        return artifact_directory(ADAPTERS, self.name, self.spec.digest) if self.spec.digest else None

    @property
    def is_loaded_by_operator(self) -> bool | None:
        """What the operator has seen on the engines that it looks after; None if it has not said."""
        found = next((condition for condition in self.status.conditions if condition.type == "Loaded"), None)
        return None if found is None or found.reason == Reason.NOT_MANAGED else found.status == "True"

    def urls_with(self, path: str) -> list[str]:
        """Where engines answer that the operator has seen with these files."""
        return [one.url for one in self.status.instances or [] if one.url is not None and one.path == path]


def view_adapter(manifest: Mapping[str, Any]) -> AdapterView:
    """The view of an Adapter. Raises pydantic's ValidationError for one that the CRD would not have let in."""
    metadata = manifest["metadata"]
    return AdapterView(
        name=metadata["name"],
        uid=metadata["uid"],
        created_at=_time(metadata.get("creationTimestamp")),
        spec=AdapterSpec.model_validate(manifest.get("spec") or {}),
        status=AdapterStatus.model_validate(manifest.get("status") or {}),
    )


def _time(text: object) -> datetime:
    try:
        value = datetime.fromisoformat(str(text))
    except ValueError:
        return _EPOCH
    return value if value.tzinfo else value.replace(tzinfo=UTC)
