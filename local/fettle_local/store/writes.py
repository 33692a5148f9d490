"""What a resource looks like after a write: defaults, rules, metadata, generation. Pure; it stores nothing."""

import re
from base64 import b64encode
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from fettle_client.protocol import ConflictError, InvalidError, Manifest
from fettle_local.store.kinds import StoredKind
from fettle_schema.adapter import AdapterStatus
from fettle_schema.base import Model
from fettle_schema.errors import InvalidManifestError
from fettle_schema.status import TrainingJobStatus
from fettle_schema.validation import admit

NAME_PATTERN = r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?"
DATA_KEY_PATTERN = r"[-._a-zA-Z0-9]+"

_WRITTEN_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")
_KEPT_METADATA = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "resourceVersion",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_STATUS_MODELS: dict[str, type[Model]] = {"TrainingJob": TrainingJobStatus, "Adapter": AdapterStatus}


@dataclass(frozen=True)
class Origin:
    """Where new names, uids and times come from."""

    now: Callable[[], datetime]
    uid: Callable[[], str]

    def timestamp(self) -> str:
        """The time as Kubernetes writes it."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")


def created(stored: StoredKind, manifest: Manifest, origin: Origin) -> Manifest:
    """A new resource without status; raises InvalidError."""
    metadata = _written_metadata(manifest)
    given = manifest.get("metadata") or {}
    uid = origin.uid()
    name, namespace = given.get("name") or _generated_name(manifest, uid), given.get("namespace") or "default"
    _check_names(stored, manifest, {"metadata.name": name, "metadata.namespace": namespace})
    result = _admitted(stored, _ordered(_content(manifest), {**metadata, "name": name}), None)
    result["metadata"] = {
        "name": name,
        "namespace": namespace,
        "uid": uid,
        "creationTimestamp": origin.timestamp(),
        **({"generation": 1} if "spec" in result else {}),
        **metadata,
    }
    return result


def updated(stored: StoredKind, old: Manifest, manifest: Manifest) -> Manifest:
    """`old` after it was replaced by `manifest`; status and what the store owns are kept. Raises InvalidError."""
    kept = {name: value for name, value in old["metadata"].items() if name in _KEPT_METADATA}
    metadata = {**kept, **_written_metadata(manifest)}
    result = _admitted(stored, _ordered(_content(manifest), metadata), old)
    if stored.has_status and "status" in old:
        result["status"] = deepcopy(old["status"])
    if "spec" in result and result.get("spec") != old.get("spec"):
        result["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    return result


def with_status(old: Manifest, status: Manifest) -> Manifest:
    """`old` with another status; raises InvalidError where a kind of ours has no such status."""
    model = _STATUS_MODELS.get(old["kind"])
    if model is not None:
        try:
            model.model_validate(status)
        except ValidationError as error:
            causes = [
                {"field": ".".join(["status", *map(str, detail["loc"])]), "message": detail["msg"]}
                for detail in error.errors(include_url=False, include_input=False)
            ]
            raise _invalid(old, causes) from error
    return {**old, "status": status}


def merge_patched(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merge_patched(result.get(name), value)
    return result


def check_version(old: Manifest, resource_version: str | None, uid: str | None = None) -> None:
    """Raises ConflictError if the resource has changed since, or is another."""
    metadata, who = old["metadata"], f"{old['kind']} {old['metadata']['name']!r}"
    if uid is not None and metadata["uid"] != uid:
        raise ConflictError(409, "Conflict", f"{who} is another one now: its uid is {metadata['uid']}, not {uid}")
    if resource_version is not None and metadata["resourceVersion"] != resource_version:
        raise ConflictError(409, "Conflict", f"{who} has changed since it was read; read it again")


def without_version(manifest: Manifest) -> Manifest:
    """The manifest without its version: equal for two writes that say the same."""
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "resourceVersion"}
    return {**manifest, "metadata": metadata}


def _generated_name(manifest: Manifest, uid: str) -> str:
    prefix = (manifest.get("metadata") or {}).get("generateName")
    if not prefix:
        raise _invalid(manifest, [{"field": "metadata.name", "message": "Required value"}])
    return f"{prefix}{uid.replace('-', '')[-5:]}"


def _check_names(stored: StoredKind, manifest: Manifest, names: dict[str, str]) -> None:
    """Names become names of directories; our own kinds are stricter still."""
    checked = {field: name for field, name in names.items() if field != "metadata.name" or not stored.is_ours}
    causes = [
        {"field": field, "message": f"Invalid value: {name!r}: should match {NAME_PATTERN}"}
        for field, name in checked.items()
        if not re.fullmatch(NAME_PATTERN, name) or len(name) > 253
    ]
    keys = manifest.get("data") or {} if stored.kind.kind in ("ConfigMap", "Secret") else {}
    causes += [
        {"field": f"data[{key}]", "message": f"Invalid value: should match {DATA_KEY_PATTERN}"}
        for key in keys
        if not re.fullmatch(DATA_KEY_PATTERN, key) or key in (".", "..")
    ]
    if causes:
        raise _invalid(manifest, causes)


def _written_metadata(manifest: Manifest) -> Manifest:
    metadata = manifest.get("metadata") or {}
    return {name: deepcopy(metadata[name]) for name in _WRITTEN_METADATA if metadata.get(name)}


def _content(manifest: Manifest) -> Manifest:
    content = {name: deepcopy(value) for name, value in manifest.items() if name not in ("metadata", "status")}
    if manifest.get("kind") == "Secret" and "stringData" in content:
        encoded = {name: b64encode(text.encode()).decode() for name, text in content.pop("stringData").items()}
        content["data"] = {**content.get("data", {}), **encoded}
    return content


def _ordered(content: Manifest, metadata: Manifest) -> Manifest:
    """A manifest in the order in which people write it."""
    return {"apiVersion": content["apiVersion"], "kind": content["kind"], "metadata": metadata, **content}


def _admitted(stored: StoredKind, manifest: Manifest, old: Manifest | None) -> Manifest:
    if not stored.is_ours:
        return manifest
    try:
        return admit(manifest, old)
    except InvalidManifestError as error:
        causes = [{"field": found.path, "message": found.message} for found in error.errors]
        raise _invalid(manifest, causes) from error


def _invalid(manifest: Manifest, causes: list[dict[str, str]]) -> InvalidError:
    reasons = "; ".join(f"{cause['field']}: {cause['message']}" for cause in causes)
    name = (manifest.get("metadata") or {}).get("name")
    return InvalidError(422, "Invalid", f"{manifest.get('kind')} {name!r} is invalid: {reasons}", {"causes": causes})
