"""`MemoryClient`: a working stand-in of the port to the API server, for tests of what lies above it.

It keeps what an API server promises (versions, conflicts, ownership of fields, finalizers, collection of
orphans, watches) and knows nothing of schemas: give it `admit` for defaults and refusals.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from fettle_client.observation import listed_then_watched
from fettle_client.protocol import (
    AlreadyExistsError,
    ConflictError,
    GoneError,
    InvalidError,
    Manifest,
    ResourceKind,
    ResourceList,
    Synced,
    WatchEvent,
)
from tests.support.json_copy import copy_json
from tests.support.memory_store import SERVER_FIELDS, Admit, Change, Key, MemoryStore, Record
from tests.support.ownership import merge_applied
from tests.support.selectors import matches

Verb = Literal["get", "list", "watch", "create", "replace", "patch", "apply", "apply_status", "delete"]


@dataclass(frozen=True)
class Call:
    """One call, as it came; refused ones included."""

    verb: Verb
    kind: str
    namespace: str
    name: str


@dataclass
class _Fault:
    verb: Verb
    error: Exception
    kind: ResourceKind | None
    after: bool


class MemoryClient:
    """A `ResourceClient` over a dictionary; `calls` records what was asked of it."""

    def __init__(self, clock: Callable[[], datetime] = lambda: datetime.now(UTC), admit: Admit | None = None) -> None:
        self.calls: list[Call] = []
        self._store = MemoryStore(clock, admit)
        self._faults: list[_Fault] = []
        self._is_closed = False

    # What only tests call.

    def fail_next(
        self, verb: Verb, error: Exception, kind: ResourceKind | None = None, times: int = 1, after: bool = False
    ) -> None:
        """The next calls of `verb` (for `kind`) raise `error`; with `after`, once the write is done."""
        self._faults.extend(_Fault(verb, error, kind, after) for _ in range(times))

    def forget_faults(self) -> None:
        """No call fails any more."""
        self._faults.clear()

    def collect_orphans(self) -> None:
        """What the garbage collector does with resources that were made after their owner was gone."""
        self._store.collect_orphans()

    def seed(self, kind: ResourceKind, manifest: Manifest) -> Manifest:
        """Create or overwrite as it is, status included and unchecked: as a kubelet or another controller would."""
        key = self._store.key_of(kind, manifest)
        if key not in self._store.records:
            manifest = {"apiVersion": kind.api_version, "kind": kind.kind, **copy_json(manifest)}
            return copy_json(self._store.insert(key, Record(kind, manifest)))
        live = self._store.records[key].manifest
        manifest = {**copy_json(manifest), "apiVersion": kind.api_version, "kind": kind.kind}
        manifest["metadata"] = self._store.with_server_fields(manifest["metadata"], live["metadata"])
        return copy_json(self._store.store(key, manifest))

    def set_status(self, kind: ResourceKind, name: str, status: Manifest, namespace: str = "default") -> Manifest:
        """Replace the whole status, as another controller would."""
        record = self._store.find(kind, name, namespace)
        manifest = {**record.manifest, "status": copy_json(status)}
        return copy_json(self._store.store(self._store.key(kind, namespace, name), manifest))

    def forget_history(self) -> None:
        """From now on a watch from an older version is answered with 410."""
        self._store.forget_history()

    @property
    def history(self) -> list[Change]:
        """Every change since `forget_history`."""
        return self._store.history

    def items(self, kind: ResourceKind, namespace: str | None = None) -> list[Manifest]:
        """Everything of a kind, sorted by namespace and name, without a recorded call."""
        return [
            copy_json(record.manifest)
            for key, record in sorted(self._store.records.items())
            if key[:2] == (kind.api_version, kind.plural) and namespace in (None, key[2])
        ]

    def item(self, kind: ResourceKind, name: str, namespace: str = "default") -> Manifest | None:
        """One resource or None, without a recorded call."""
        record = self._store.records.get(self._store.key(kind, namespace, name))
        return copy_json(record.manifest) if record else None

    # The port.

    async def get(self, kind: ResourceKind, name: str, namespace: str) -> Manifest:
        await self._begin("get", kind, namespace, name)
        return copy_json(self._store.find(kind, name, namespace).manifest)

    async def list(
        self,
        kind: ResourceKind,
        namespace: str | None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> ResourceList:
        await self._begin("list", kind, namespace or "", "")
        chosen = [item for item in self.items(kind, namespace) if matches(item, label_selector, field_selector)]
        return ResourceList(chosen, str(self._store.version))

    async def watch(
        self,
        kind: ResourceKind,
        namespace: str | None,
        resource_version: str,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncGenerator[WatchEvent, None]:
        await self._begin("watch", kind, namespace or "", "")
        seen = int(resource_version)
        while not self._is_closed:
            if seen < self._store.oldest_version:
                raise GoneError(410, "Expired", f"too old resource version: {seen} ({self._store.oldest_version})")
            changed = self._store.changed
            for change in [change for change in self._store.history if change.version > seen]:
                seen = change.version
                if (change.kind.api_version, change.kind.plural) != (kind.api_version, kind.plural):
                    continue
                if namespace in (None, change.after["metadata"].get("namespace")):
                    event = _selected(change, label_selector, field_selector)
                    if event:
                        yield event
            await changed.wait()

    async def pages(self, kind: ResourceKind, namespace: str | None) -> AsyncGenerator[ResourceList, None]:
        yield await self.list(kind, namespace)

    def observe(self, kind: ResourceKind, namespace: str | None) -> AsyncGenerator[WatchEvent | Synced, None]:
        return listed_then_watched(self, kind, namespace)

    async def create(self, kind: ResourceKind, manifest: Manifest, dry_run: bool = False) -> Manifest:
        manifest = self._store.named(kind, manifest)
        key = self._store.key_of(kind, manifest)
        fault = await self._begin("create", kind, *key[2:])
        if key in self._store.records:
            raise AlreadyExistsError(409, "AlreadyExists", f'{kind.plural} "{key[3]}" already exists')
        manifest.pop("status", None)
        metadata = manifest["metadata"]
        manifest["metadata"] = {name: metadata[name] for name in metadata if name not in SERVER_FIELDS}
        manifest = self._store.admitted(kind, manifest, None)
        stored = manifest if dry_run else self._store.insert(key, Record(kind, manifest))
        return self._end(fault, stored)

    async def replace(self, kind: ResourceKind, manifest: Manifest) -> Manifest:
        key = self._store.key_of(kind, manifest)
        fault = await self._begin("replace", kind, *key[2:])
        live = self._store.find(kind, key[3], key[2]).manifest
        metadata = manifest["metadata"]
        if not metadata.get("resourceVersion"):
            raise InvalidError(422, "Invalid", "metadata.resourceVersion: must be specified for an update")
        self._check(kind, live, metadata["resourceVersion"], metadata.get("uid"))
        return self._end(fault, self._store.write(key, copy_json(manifest)))

    async def patch(
        self,
        kind: ResourceKind,
        name: str,
        namespace: str,
        patch: Manifest,
        resource_version: str | None = None,
    ) -> Manifest:
        fault = await self._begin("patch", kind, namespace, name)
        live = self._store.find(kind, name, namespace).manifest
        self._check(kind, live, resource_version or patch.get("metadata", {}).get("resourceVersion"), None)
        return self._end(fault, self._store.write(self._store.key(kind, namespace, name), _merge_patch(live, patch)))

    async def apply(self, kind: ResourceKind, manifest: Manifest, field_manager: str, force: bool = True) -> Manifest:
        key = self._store.key_of(kind, manifest)
        fault = await self._begin("apply", kind, *key[2:])
        metadata = manifest["metadata"]
        applied = {name: value for name, value in manifest.items() if name not in ("apiVersion", "kind", "status")}
        hidden = (*SERVER_FIELDS, "name", "namespace")
        applied["metadata"] = {name: value for name, value in metadata.items() if name not in hidden}
        if key not in self._store.records:
            return self._end(fault, self._create_applied(key, kind, manifest, applied, field_manager))
        live = self._store.records[key].manifest
        self._check(kind, live, metadata.get("resourceVersion"), metadata.get("uid"))
        merged = self._store.merged(key, applied, field_manager, force)
        return self._end(fault, self._store.write(key, merged, field_manager))

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
        fault = await self._begin("apply_status", kind, namespace, name)
        self._check(kind, self._store.find(kind, name, namespace).manifest, resource_version, uid)
        key, manager = self._store.key(kind, namespace, name), f"{field_manager}/status"
        merged = self._store.merged(key, {"status": status}, manager, force=True)
        return self._end(fault, self._store.store(key, merged, manager))

    async def delete(
        self,
        kind: ResourceKind,
        name: str,
        namespace: str,
        uid: str | None = None,
        propagation: Literal["Foreground", "Background"] = "Background",
    ) -> None:
        fault = await self._begin("delete", kind, namespace, name)
        key = self._store.key(kind, namespace, name)
        record = self._store.records.get(key)
        if record and uid in (None, record.manifest["metadata"]["uid"]):
            self._store.delete(key, propagation == "Foreground")
        self._end(fault, {})

    async def close(self) -> None:
        self._is_closed = True
        self._store.wake()

    # Calls.

    async def _begin(self, verb: Verb, kind: ResourceKind, namespace: str, name: str) -> _Fault | None:
        self.calls.append(Call(verb, kind.kind, namespace, name))
        await asyncio.sleep(0)  # a real call lets others run
        for fault in self._faults:
            if fault.verb == verb and fault.kind in (None, kind):
                self._faults.remove(fault)
                if not fault.after:
                    raise fault.error
                return fault
        return None

    def _end(self, fault: _Fault | None, manifest: Manifest) -> Manifest:
        if fault:
            raise fault.error
        return copy_json(manifest)

    def _check(self, kind: ResourceKind, live: Manifest, resource_version: str | None, uid: str | None) -> None:
        metadata = live["metadata"]
        if resource_version not in (None, metadata["resourceVersion"]) or uid not in (None, metadata["uid"]):
            message = f'{kind.plural} "{metadata["name"]}": the object has been modified; read it again'
            raise ConflictError(409, "Conflict", message)

    def _create_applied(
        self, key: Key, kind: ResourceKind, manifest: Manifest, applied: Manifest, manager: str
    ) -> Manifest:
        body = self._store.named(kind, {name: value for name, value in manifest.items() if name != "status"})
        record = Record(kind, self._store.admitted(kind, body, None))
        merge_applied({}, applied, manager, record.owners, force=True)
        return self._store.insert(key, record)


def _selected(change: Change, label_selector: str | None, field_selector: str | None) -> WatchEvent | None:
    is_in = change.type != "DELETED" and matches(change.after, label_selector, field_selector)
    was_in = change.before is not None and matches(change.before, label_selector, field_selector)
    if is_in:
        return WatchEvent("MODIFIED" if was_in else "ADDED", copy_json(change.after))
    return WatchEvent("DELETED", copy_json(change.after)) if was_in else None


def _merge_patch(target: Any, patch: Any) -> Any:
    """RFC 7386."""
    if not isinstance(patch, dict):
        return copy_json(patch)
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = _merge_patch(merged.get(name), value)
    return merged
