"""The SQLite file: one table of resources, one log of changes. It knows nothing about what a resource means.

Several processes may open it at once: the command line writes while the engine watches. The version of a change is the
resourceVersion of what it left behind.
"""

import json
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from fettle_client.protocol import Manifest, UnavailableError
from fettle_local.store.ownership import Owners

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

_SCHEMA = """
CREATE TABLE IF NOT EXISTS resources (
  kind TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL, uid TEXT NOT NULL,
  resource_version INTEGER NOT NULL, generation INTEGER NOT NULL, json TEXT NOT NULL, owners TEXT NOT NULL,
  PRIMARY KEY (kind, namespace, name));
CREATE TABLE IF NOT EXISTS changes (
  version INTEGER PRIMARY KEY AUTOINCREMENT, type TEXT NOT NULL, kind TEXT NOT NULL, namespace TEXT NOT NULL,
  json TEXT NOT NULL, previous TEXT);
CREATE UNIQUE INDEX IF NOT EXISTS resources_by_uid ON resources (uid);
"""
_BUSY_TIMEOUT_SECONDS = 20.0
_TRIM_EVERY = 64


@dataclass(frozen=True)
class Record:
    """A resource, and which manager owns which of its fields."""

    manifest: Manifest
    owners: Owners = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """Kind, namespace, name."""
        metadata = self.manifest["metadata"]
        return self.manifest["kind"], metadata["namespace"], metadata["name"]

    @property
    def uid(self) -> str:
        """`metadata.uid`."""
        uid: str = self.manifest["metadata"]["uid"]
        return uid


@dataclass(frozen=True)
class Change:
    """One entry of the log; `previous` is the resource before it."""

    type: ChangeType
    manifest: Manifest
    previous: Manifest | None


class Transaction:
    """Reads and writes that happen together or not at all."""

    def __init__(self, connection: sqlite3.Connection, history: int) -> None:
        self._connection = connection
        self._history = history

    def version(self) -> int:
        """Version of the newest change; 0 in an empty store."""
        row = self._connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'changes'").fetchone()
        return int(row[0]) if row else 0

    def find(self, kind: str, namespace: str, name: str) -> Record | None:
        """One resource."""
        row = self._connection.execute(
            "SELECT json, owners FROM resources WHERE kind = ? AND namespace = ? AND name = ?", (kind, namespace, name)
        ).fetchone()
        return _record(row) if row else None

    def find_uid(self, uid: str) -> Record | None:
        """The resource with this uid."""
        row = self._connection.execute("SELECT json, owners FROM resources WHERE uid = ?", (uid,)).fetchone()
        return _record(row) if row else None

    def select(self, kind: str, namespace: str | None) -> list[Record]:
        """All resources of a kind, by namespace and name."""
        rows = self._connection.execute(
            "SELECT json, owners FROM resources"
            " WHERE kind = ? AND (? IS NULL OR namespace = ?) ORDER BY namespace, name",
            (kind, namespace, namespace),
        )
        return [_record(row) for row in rows]

    def dependents(self, uid: str) -> list[Record]:
        """Resources with an owner reference to this uid."""
        rows = self._connection.execute(
            "SELECT resources.json, owners FROM resources, json_each(resources.json, '$.metadata.ownerReferences') AS o"
            " WHERE json_extract(o.value, '$.uid') = ? ORDER BY kind, name",
            (uid,),
        )
        return [_record(row) for row in rows]

    def write(self, record: Record, previous: Record | None) -> Record:
        """Store a resource under the next version."""
        record = self._log("MODIFIED" if previous else "ADDED", record, previous)
        metadata = record.manifest["metadata"]
        self._connection.execute(
            "INSERT OR REPLACE INTO resources VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *record.key,
                record.uid,
                int(metadata["resourceVersion"]),
                metadata.get("generation", 0),
                json.dumps(record.manifest),
                json.dumps({name: sorted(fields) for name, fields in record.owners.items()}),
            ),
        )
        return record

    def remove(self, record: Record) -> None:
        """Remove a resource."""
        self._log("DELETED", record, record)
        self._connection.execute("DELETE FROM resources WHERE kind = ? AND namespace = ? AND name = ?", record.key)

    def changes(self, after: int, kind: str, namespace: str | None) -> tuple[list[Change], int] | None:
        """What happened to a kind after a version, and the newest version; None if the log no longer reaches back."""
        newest = self.version()
        oldest = self._connection.execute("SELECT MIN(version) FROM changes").fetchone()[0] or newest + 1
        if after > newest or after + 1 < oldest:
            return None
        rows = self._connection.execute(
            "SELECT type, json, previous FROM changes"
            " WHERE version > ? AND kind = ? AND (? IS NULL OR namespace = ?) ORDER BY version",
            (after, kind, namespace, namespace),
        )
        found = [Change(row[0], json.loads(row[1]), json.loads(row[2]) if row[2] else None) for row in rows]
        return found, newest

    def _log(self, change: ChangeType, record: Record, previous: Record | None) -> Record:
        version = self.version() + 1
        metadata: dict[str, Any] = {**record.manifest["metadata"], "resourceVersion": str(version)}
        record = Record({**record.manifest, "metadata": metadata}, record.owners)
        kind, namespace, _ = record.key
        self._connection.execute(
            "INSERT INTO changes (version, type, kind, namespace, json, previous) VALUES (?, ?, ?, ?, ?, ?)",
            (
                version,
                change,
                kind,
                namespace,
                json.dumps(record.manifest),
                json.dumps(previous.manifest) if previous else None,
            ),
        )
        if version % _TRIM_EVERY == 0:
            self._connection.execute("DELETE FROM changes WHERE version <= ?", (version - self._history,))
        return record


class Database:
    """The file, opened by this process; safe to use from several threads. `history` changes are kept for watches."""

    def __init__(self, path: Path, history: int = 4096) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        path.chmod(0o600)  # it holds Secrets; SQLite gives its side files the same mode
        self._history = history
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            path, timeout=_BUSY_TIMEOUT_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        self._connection.executescript(_SCHEMA)

    @contextmanager
    def reading(self) -> Iterator[Transaction]:
        """A consistent view; raises UnavailableError when the file cannot be read."""
        yield from self._transaction("BEGIN")

    @contextmanager
    def writing(self) -> Iterator[Transaction]:
        """The only writer on this machine until the block ends; an exception takes everything back."""
        yield from self._transaction("BEGIN IMMEDIATE")

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    def _transaction(self, begin: str) -> Iterator[Transaction]:
        with self._lock:
            try:
                self._connection.execute(begin)
                try:
                    yield Transaction(self._connection, self._history)
                except BaseException:
                    self._connection.execute("ROLLBACK")
                    raise
                self._connection.execute("COMMIT")
            except sqlite3.OperationalError as error:
                raise UnavailableError(503, "ServiceUnavailable", f"the store cannot be used: {error}") from error


def _record(row: tuple[str, str]) -> Record:
    owners = {name: {tuple(path) for path in paths} for name, paths in json.loads(row[1]).items()}
    return Record(json.loads(row[0]), owners)
