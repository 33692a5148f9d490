"""The state behind `MemoryClient`: records, versions, history, deletion. It is synchronous and injects no fault."""

import asyncio
import random
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from fettle_client.protocol import ConflictError, Manifest, NotFoundError, ResourceKind
from tests.support.json_copy import copy_json
from tests.support.ownership import FieldConflictError, Owners, changed_fields, forget, merge_applied

Admit = Callable[[ResourceKind, Manifest, Manifest | None], Manifest]
Key = tuple[str, str, str, str]
FOREGROUND = "foregroundDeletion"
SERVER_FIELDS = ("uid", "resourceVersion", "generation", "creationTimestamp", "deletionTimestamp", "managedFields")


@dataclass
class Record:
    kind: ResourceKind
    manifest: Manifest
    owners: Owners = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    version: int
    kind: ResourceKind
    type: Literal["ADDED", "MODIFIED", "DELETED"]
    before: Manifest | None
    after: Manifest


class MemoryStore:
    """Every resource by its key, and every change since the last `forget_history`."""

    def __init__(self, clock: Callable[[], datetime], admit: Admit | None) -> None:
        self.records: dict[Key, Record] = {}
        self.history: list[Change] = []
        self.version = 0
        self.oldest_version = 0
        self.changed = asyncio.Event()
        self._clock = clock
        self._admit = admit
        self._random = random.Random(0)

    def forget_history(self) -> None:
        self.history.clear()
        self.oldest_version = self.version
        self.wake()

    def find(self, kind: ResourceKind, name: str, namespace: str) -> Record:
        record = self.records.get(self.key(kind, namespace, name))
        if record is None:
            raise NotFoundError(404, "NotFound", f'{kind.plural} "{name}" not found')
        return record

    def key(self, kind: ResourceKind, namespace: str, name: str) -> Key:
        return (kind.api_version, kind.plural, namespace if kind.namespaced else "", name)

    def key_of(self, kind: ResourceKind, manifest: Manifest) -> Key:
        metadata = manifest["metadata"]
        return self.key(kind, metadata.get("namespace") or "default", metadata["name"])

    def named(self, kind: ResourceKind, manifest: Manifest) -> Manifest:
        manifest = {"apiVersion": kind.api_version, "kind": kind.kind, **copy_json(manifest)}
        metadata = manifest.setdefault("metadata", {})
        if not metadata.get("name"):
            metadata["name"] = f"{metadata['generateName']}{self._random.getrandbits(20):05x}"
        return manifest

    def admitted(self, kind: ResourceKind, manifest: Manifest, live: Manifest | None) -> Manifest:
        return self._admit(kind, manifest, live) if self._admit else manifest

    def merged(self, key: Key, applied: Manifest, manager: str, force: bool) -> Manifest:
        record = self.records[key]
        try:
            merged: Manifest = merge_applied(record.manifest, applied, manager, record.owners, force)
        except FieldConflictError as error:
            raise ConflictError(409, "Conflict", f"Apply failed: {error}") from error
        return merged

    def write(self, key: Key, manifest: Manifest, manager: str | None = None) -> Manifest:
        """Store everything but the status and the server's own metadata."""
        record = self.records[key]
        live = record.manifest
        manifest = {name: value for name, value in manifest.items() if name != "status"}
        manifest |= {"apiVersion": live["apiVersion"], "kind": live["kind"]}
        if "status" in live:
            manifest["status"] = live["status"]
        manifest["metadata"] = self.with_server_fields(manifest["metadata"], live["metadata"])
        return self.store(key, self.admitted(record.kind, manifest, live), manager)

    def with_server_fields(self, metadata: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in metadata.items() if name not in SERVER_FIELDS}
        return {**kept, **{name: live[name] for name in SERVER_FIELDS if name in live}}

    def insert(self, key: Key, record: Record) -> Manifest:
        metadata = record.manifest["metadata"]
        metadata["uid"] = str(uuid.UUID(int=self._random.getrandbits(128), version=4))
        metadata["creationTimestamp"] = self._now()
        metadata["generation"] = 1
        if record.kind.namespaced:
            metadata.setdefault("namespace", key[2])
        self.records[key] = record
        self._record_change(record.kind, "ADDED", None, record.manifest)
        return record.manifest

    def store(self, key: Key, manifest: Manifest, manager: str | None = None) -> Manifest:
        record = self.records[key]
        before = record.manifest
        if manifest == before:
            return before
        changed = changed_fields(before, manifest)
        forget(record.owners, changed, but=manager)
        manifest["metadata"] = dict(manifest["metadata"])
        if any(path[0] not in ("metadata", "status") for path in changed):
            manifest["metadata"]["generation"] = before["metadata"]["generation"] + 1
        record.manifest = manifest
        if manifest["metadata"].get("deletionTimestamp") and not manifest["metadata"].get("finalizers"):
            self._remove(key, foreground=False)
        else:
            self._record_change(record.kind, "MODIFIED", before, manifest)
        return manifest

    def _record_change(self, kind: ResourceKind, change_type: Any, before: Manifest | None, after: Manifest) -> None:
        self.version += 1
        after["metadata"]["resourceVersion"] = str(self.version)
        before, after = copy_json(before), copy_json(after)
        self.history.append(Change(self.version, kind, change_type, before, after))
        self.wake()

    def wake(self) -> None:
        self.changed.set()
        self.changed = asyncio.Event()

    def _now(self) -> str:
        return self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    # Deletion.

    def delete(self, key: Key, foreground: bool) -> None:
        record = self.records[key]
        finalizers = list(record.manifest["metadata"].get("finalizers") or [])
        if foreground and FOREGROUND not in finalizers and self._children(record):
            finalizers.append(FOREGROUND)
        if not finalizers:
            self._remove(key, foreground)
            return
        if "deletionTimestamp" not in record.manifest["metadata"]:
            marked = copy_json(record.manifest)
            generation = marked["metadata"]["generation"] + 1
            marked["metadata"] |= {"deletionTimestamp": self._now(), "generation": generation, "finalizers": finalizers}
            self.store(key, marked)
        if foreground:
            for child in self._children(record):
                if child in self.records:
                    self.delete(child, foreground=True)
            self._finish_foreground(key)

    def collect_orphans(self) -> None:
        """Delete what names owners of which none is there."""
        for key, record in list(self.records.items()):
            if _owner_uids(record.manifest) and not self._has_owner(record) and key in self.records:
                self.delete(key, foreground=False)

    def _remove(self, key: Key, foreground: bool) -> None:
        record = self.records.pop(key)
        self._record_change(record.kind, "DELETED", record.manifest, copy_json(record.manifest))
        for child in self._children(record):
            if child in self.records and not self._has_owner(self.records[child]):
                self.delete(child, foreground)
        uids = {reference["uid"] for reference in record.manifest["metadata"].get("ownerReferences") or []}
        for owner in [key for key, other in self.records.items() if other.manifest["metadata"]["uid"] in uids]:
            self._finish_foreground(owner)

    def _finish_foreground(self, key: Key) -> None:
        record = self.records.get(key)
        if record is None or self._children(record):
            return
        finalizers = record.manifest["metadata"].get("finalizers") or []
        if FOREGROUND in finalizers:
            manifest = copy_json(record.manifest)
            manifest["metadata"]["finalizers"] = [name for name in finalizers if name != FOREGROUND]
            self.store(key, manifest)

    def _children(self, owner: Record) -> list[Key]:
        uid = owner.manifest["metadata"]["uid"]
        return [key for key, record in self.records.items() if uid in _owner_uids(record.manifest)]

    def _has_owner(self, record: Record) -> bool:
        uids = _owner_uids(record.manifest)
        return any(other.manifest["metadata"]["uid"] in uids for other in self.records.values())


def _owner_uids(manifest: Manifest) -> set[str]:
    return {reference["uid"] for reference in manifest["metadata"].get("ownerReferences") or []}
