"""LocalClient: the ResourceClient of one machine. Each call is one transaction; a watch reads the log of changes."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, TypeVar

from fettle_client.observation import listed_then_watched
from fettle_client.protocol import (
    AlreadyExistsError,
    ConflictError,
    GoneError,
    Manifest,
    NotFoundError,
    ResourceKind,
    ResourceList,
    Synced,
    WatchEvent,
)
from fettle_local.store import deletion
from fettle_local.store.database import Change, Database, Record, Transaction
from fettle_local.store.kinds import StoredKind, check_kind, stored_kind
from fettle_local.store.ownership import apply_fields, conflicts
from fettle_local.store.selectors import Matcher, matcher
from fettle_local.store.writes import (
    Origin,
    check_version,
    created,
    merge_patched,
    updated,
    with_status,
    without_version,
)

T = TypeVar("T")

DEFAULT_NAMESPACE = "default"
_POLL_SECONDS = 0.1
_EVENT_LIFETIME = timedelta(hours=1)


def _utc_now() -> datetime:
    return datetime.now(UTC)


def _new_uid() -> str:
    return str(uuid.uuid4())


class LocalClient:
    """Resources in one SQLite file, shared by any number of processes of this machine."""

    def __init__(
        self,
        path: Path,
        now: Callable[[], datetime] = _utc_now,
        new_uid: Callable[[], str] = _new_uid,
        history: int = 4096,
    ) -> None:
        self._database = Database(path, history)
        self._origin = Origin(now, new_uid)
        self._watchers: set[asyncio.Event] = set()

    async def get(self, kind: ResourceKind, name: str, namespace: str) -> Manifest:
        """See ResourceClient."""
        stored = stored_kind(kind)
        return await self._read(lambda transaction: _found(transaction, stored, name, namespace).manifest)

    async def list(
        self,
        kind: ResourceKind,
        namespace: str | None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> ResourceList:
        """See ResourceClient."""
        matches = matcher(stored_kind(kind), label_selector, field_selector)

        def read(transaction: Transaction) -> ResourceList:
            records = transaction.select(kind.kind, namespace)
            items = [record.manifest for record in records if matches(record.manifest)]
            return ResourceList(items, str(transaction.version()))

        return await self._read(read)

    async def watch(
        self,
        kind: ResourceKind,
        namespace: str | None,
        resource_version: str,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> AsyncIterator[WatchEvent]:
        """See ResourceClient."""
        matches = matcher(stored_kind(kind), label_selector, field_selector)
        version = int(resource_version)
        wake = asyncio.Event()
        self._watchers.add(wake)
        try:
            while True:
                wake.clear()
                after = version
                found = await self._read(lambda transaction: transaction.changes(after, kind.kind, namespace))  # noqa: B023
                if found is None:
                    raise GoneError(
                        410, "Expired", f"resourceVersion {version} is too old or of another store; list again"
                    )
                changes, version = found
                for event in filter(None, (_event(change, matches) for change in changes)):
                    yield event
                await _wait(wake, _POLL_SECONDS)
        finally:
            self._watchers.discard(wake)

    async def pages(self, kind: ResourceKind, namespace: str | None) -> AsyncIterator[ResourceList]:
        """See ResourceClient; there is one page."""
        yield await self.list(kind, namespace)

    def observe(self, kind: ResourceKind, namespace: str | None) -> AsyncIterator[WatchEvent | Synced]:
        """See ResourceClient."""
        return listed_then_watched(self, kind, namespace)

    async def create(self, kind: ResourceKind, manifest: Manifest, dry_run: bool = False) -> Manifest:
        """See ResourceClient."""
        stored = stored_kind(kind)
        check_kind(stored, manifest)

        def write(transaction: Transaction) -> Manifest:
            record = Record(created(stored, manifest, self._origin))
            _, namespace, name = record.key
            if transaction.find(kind.kind, namespace, name):
                raise AlreadyExistsError(409, "AlreadyExists", f"{kind.plural} {name!r} already exists")
            return record.manifest if dry_run else self._insert(transaction, record)

        return await self._write(write)

    async def replace(self, kind: ResourceKind, manifest: Manifest) -> Manifest:
        """See ResourceClient."""
        stored = stored_kind(kind)
        check_kind(stored, manifest)
        metadata = manifest.get("metadata") or {}

        def write(transaction: Transaction) -> Manifest:
            old = _found(transaction, stored, str(metadata.get("name")), metadata.get("namespace") or DEFAULT_NAMESPACE)
            check_version(old.manifest, metadata.get("resourceVersion"), metadata.get("uid"))
            return self._store(transaction, old, Record(updated(stored, old.manifest, manifest), old.owners))

        return await self._write(write)

    async def patch(
        self, kind: ResourceKind, name: str, namespace: str, patch: Manifest, resource_version: str | None = None
    ) -> Manifest:
        """See ResourceClient."""
        stored = stored_kind(kind)
        condition = resource_version or (patch.get("metadata") or {}).get("resourceVersion")

        def write(transaction: Transaction) -> Manifest:
            old = _found(transaction, stored, name, namespace)
            check_version(old.manifest, condition)
            patched = merge_patched(old.manifest, patch)
            return self._store(transaction, old, Record(updated(stored, old.manifest, patched), old.owners))

        return await self._write(write)

    async def apply(self, kind: ResourceKind, manifest: Manifest, field_manager: str, force: bool = True) -> Manifest:
        """See ResourceClient."""
        stored = stored_kind(kind)
        check_kind(stored, manifest)
        metadata = manifest.get("metadata") or {}
        fields = _applied_fields(manifest)

        def write(transaction: Transaction) -> Manifest:
            namespace = metadata.get("namespace") or DEFAULT_NAMESPACE
            old = transaction.find(kind.kind, namespace, metadata.get("name") or "")
            if old is None:
                _, owners = apply_fields({}, fields, {}, field_manager)
                return self._insert(transaction, Record(created(stored, manifest, self._origin), owners))
            check_version(old.manifest, metadata.get("resourceVersion"), metadata.get("uid"))
            if not force:
                _refuse_conflicts(old.manifest, fields, old, field_manager)
            content, owners = apply_fields(old.manifest, fields, old.owners, field_manager)
            return self._store(transaction, old, Record(updated(stored, old.manifest, content), owners))

        return await self._write(write)

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
        """See ResourceClient."""
        stored = stored_kind(kind)

        def write(transaction: Transaction) -> Manifest:
            old = _found(transaction, stored, name, namespace)
            check_version(old.manifest, resource_version, uid)
            manager = f"{field_manager}/status"
            content = {"status": old.manifest.get("status") or {}}
            merged, owners = apply_fields(content, {"status": status}, old.owners, manager)
            return self._store(transaction, old, Record(with_status(old.manifest, merged.get("status", {})), owners))

        return await self._write(write)

    async def delete(
        self,
        kind: ResourceKind,
        name: str,
        namespace: str,
        uid: str | None = None,
        propagation: Literal["Foreground", "Background"] = "Background",
    ) -> None:
        """See ResourceClient."""
        stored_kind(kind)

        def write(transaction: Transaction) -> None:
            record = transaction.find(kind.kind, namespace, name)
            if record is not None and uid in (None, record.uid):
                deletion.delete(transaction, record, propagation, self._origin)

        await self._write(write)

    async def close(self) -> None:
        """See ResourceClient."""
        await asyncio.to_thread(self._database.close)

    def _insert(self, transaction: Transaction, record: Record) -> Manifest:
        if record.manifest["kind"] == "Event":
            self._forget_old_events(transaction)
        record = transaction.write(record, None)
        if deletion.is_orphan(transaction, record.manifest):
            deletion.delete(transaction, record, "Background", self._origin)
        return record.manifest

    def _store(self, transaction: Transaction, old: Record, new: Record) -> Manifest:
        if deletion.is_released(new.manifest):
            deletion.finish(transaction, new, self._origin)
            return new.manifest
        if without_version(new.manifest) == without_version(old.manifest) and new.owners == old.owners:
            return old.manifest
        return transaction.write(new, old).manifest

    def _forget_old_events(self, transaction: Transaction) -> None:
        oldest = (self._origin.now() - _EVENT_LIFETIME).strftime("%Y-%m-%dT%H:%M:%SZ")
        for record in transaction.select("Event", None):
            if record.manifest["metadata"]["creationTimestamp"] < oldest:
                deletion.finish(transaction, record, self._origin)

    async def _read(self, read: Callable[[Transaction], T]) -> T:
        def work() -> T:
            with self._database.reading() as transaction:
                return read(transaction)

        return await asyncio.to_thread(work)

    async def _write(self, write: Callable[[Transaction], T]) -> T:
        def work() -> T:
            with self._database.writing() as transaction:
                return write(transaction)

        result = await asyncio.to_thread(work)
        for wake in self._watchers:
            wake.set()
        return result


def _found(transaction: Transaction, stored: StoredKind, name: str, namespace: str) -> Record:
    record = transaction.find(stored.kind.kind, namespace, name)
    if record is None:
        raise NotFoundError(404, "NotFound", f"{stored.kind.plural} {name!r} not found in namespace {namespace!r}")
    return record


def _applied_fields(manifest: Manifest) -> Manifest:
    metadata = manifest.get("metadata") or {}
    kept = {
        name: metadata[name] for name in ("labels", "annotations", "finalizers", "ownerReferences") if name in metadata
    }
    content = {
        name: value for name, value in manifest.items() if name not in ("apiVersion", "kind", "metadata", "status")
    }
    return {**content, **({"metadata": kept} if kept else {})}


def _refuse_conflicts(current: Manifest, fields: Manifest, old: Record, manager: str) -> None:
    found = conflicts(current, fields, old.owners, manager)
    if found:
        reasons = "; ".join(f"{path} is owned by {holder!r}" for path, holder in found)
        raise ConflictError(409, "Conflict", f"apply conflicts: {reasons}; apply with force to take them over")


def _event(change: Change, matches: Matcher) -> WatchEvent | None:
    """What a watcher with this selector sees: a resource that stops matching is deleted for it."""
    after = change.type != "DELETED" and matches(change.manifest)
    before = change.previous is not None and matches(change.previous)
    if after:
        return WatchEvent("MODIFIED" if before else "ADDED", change.manifest)
    return WatchEvent("DELETED", change.manifest) if before else None


async def _wait(wake: asyncio.Event, timeout_seconds: float) -> None:
    try:
        async with asyncio.timeout(timeout_seconds):
            await wake.wait()
    except TimeoutError:
        return
