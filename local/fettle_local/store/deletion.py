"""Deletion inside one transaction: finalizers, and owners with what they own, in the background or the foreground."""

from typing import Literal

from fettle_client.protocol import Manifest
from fettle_local.store.database import Record, Transaction
from fettle_local.store.writes import Origin

FOREGROUND_FINALIZER = "foregroundDeletion"

Propagation = Literal["Foreground", "Background"]


def delete(transaction: Transaction, record: Record, propagation: Propagation, origin: Origin) -> None:
    """Delete a resource, or mark it as being deleted while finalizers hold it.

    In the foreground it stays until everything that it owns is gone; in the background what it owns follows.
    """
    dependents = transaction.dependents(record.uid)
    if propagation == "Foreground" and dependents:
        _mark(transaction, record, origin, FOREGROUND_FINALIZER)
        for dependent in dependents:
            delete(transaction, dependent, "Foreground", origin)
        return
    if record.manifest["metadata"].get("finalizers"):
        _mark(transaction, record, origin)
        return
    finish(transaction, record, origin)


def finish(transaction: Transaction, record: Record, origin: Origin) -> None:
    """Remove a resource that nothing holds any more, and settle with its dependents and its owners."""
    transaction.remove(record)
    for dependent in transaction.dependents(record.uid):
        _drop_owner(transaction, dependent, record.uid, origin)
    for reference in record.manifest["metadata"].get("ownerReferences", []):
        _release_owner(transaction, reference["uid"], origin)


def is_released(manifest: Manifest) -> bool:
    """Whether a resource is being deleted and nothing holds it."""
    metadata = manifest["metadata"]
    return "deletionTimestamp" in metadata and not metadata.get("finalizers")


def is_orphan(transaction: Transaction, manifest: Manifest) -> bool:
    """Whether a resource names owners of which none exists: the owner was deleted while this was being written."""
    references = manifest["metadata"].get("ownerReferences", [])
    return bool(references) and not any(transaction.find_uid(reference["uid"]) for reference in references)


def _mark(transaction: Transaction, record: Record, origin: Origin, finalizer: str | None = None) -> None:
    metadata = dict(record.manifest["metadata"])
    finalizers = list(metadata.get("finalizers", []))
    if finalizer and finalizer not in finalizers:
        finalizers.append(finalizer)
    if "deletionTimestamp" in metadata and finalizers == metadata.get("finalizers"):
        return
    metadata.setdefault("deletionTimestamp", origin.timestamp())
    metadata["finalizers"] = finalizers
    grace = (record.manifest.get("spec") or {}).get("terminationGracePeriodSeconds")
    if grace is not None:
        metadata.setdefault("deletionGracePeriodSeconds", grace)
    transaction.write(Record({**record.manifest, "metadata": metadata}, record.owners), record)


def _drop_owner(transaction: Transaction, dependent: Record, uid: str, origin: Origin) -> None:
    metadata = dict(dependent.manifest["metadata"])
    others = [reference for reference in metadata["ownerReferences"] if reference["uid"] != uid]
    if not any(transaction.find_uid(reference["uid"]) for reference in others):
        delete(transaction, dependent, "Background", origin)
        return
    metadata["ownerReferences"] = others
    transaction.write(Record({**dependent.manifest, "metadata": metadata}, dependent.owners), dependent)


def _release_owner(transaction: Transaction, uid: str, origin: Origin) -> None:
    owner = transaction.find_uid(uid)
    if owner is None or transaction.dependents(uid):
        return
    metadata = dict(owner.manifest["metadata"])
    if FOREGROUND_FINALIZER not in metadata.get("finalizers", []):
        return
    metadata["finalizers"] = [name for name in metadata["finalizers"] if name != FOREGROUND_FINALIZER]
    released = Record({**owner.manifest, "metadata": metadata}, owner.owners)
    if is_released(released.manifest):
        finish(transaction, owner, origin)
    else:
        transaction.write(released, owner)
