"""Messages that wait to be sent: one file each, `webhooks/outbox/<uid of the job>.json`. All calls block.

`webhooks/sent/<uid>.json` says of a job that it needs no message any more. With a key, a file that it does not seal is
somebody else's and counts as absent.
"""

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal

from fettle_api.errors import BodyError, FileMissingError, NameTakenError
from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.web.body import parse_json
from fettle_api.webhooks.signing import SigningKey
from fettle_schema.layout import WEBHOOKS

Outcome = Literal["delivered", "abandoned"]

_OUTBOX, _SENT = f"{WEBHOOKS}/outbox", f"{WEBHOOKS}/sent"
_MAX_BYTES = 256 * 1024
_UID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,63}")


@dataclass(frozen=True)
class Message:
    """One message, and how often it was tried."""

    uid: str
    """Of the job."""
    job: str
    """Its name, for logs."""
    id: str
    url: str
    needs_signature: bool
    body: str
    created_at: float
    """Seconds since 1970, as all times here."""
    attempts: int = 0
    next_attempt_at: float = 0.0

    def sealed_part(self) -> bytes:
        """All but what changes with an attempt."""
        fixed = (self.uid, self.job, self.id, self.url, self.needs_signature, self.body, self.created_at)
        return json.dumps(fixed).encode()


class Outbox:
    """Files of one workspace, shared by all facades."""

    def __init__(self, workspace: Workspace, writer: WorkspaceWriter, key: SigningKey | None) -> None:
        self._workspace, self._writer, self._key = workspace, writer, key

    def add(self, message: Message) -> bool:
        """False if it waits already, or has been dealt with. Raises StorageFullError."""
        if not _UID.fullmatch(message.uid) or self._workspace.exists(_path(_SENT, message.uid)):
            return False
        try:
            self._write(message)
        except NameTakenError:
            if self._read(message.uid) is not None:
                return False
            self._write(message, replaces=True)
        return True

    def waiting(self) -> list[Message]:
        """All that wait, the next one first."""
        uids = [name.removesuffix(".json") for name in self._names(_OUTBOX)]
        found = [message for uid in uids if (message := self._read(uid)) is not None]
        return sorted(found, key=lambda message: (message.next_attempt_at, message.created_at))

    def postpone(self, message: Message, next_attempt_at: float) -> Message:
        """An attempt failed. Raises StorageFullError."""
        later = replace(message, attempts=message.attempts + 1, next_attempt_at=next_attempt_at)
        self._write(later, replaces=True)
        return later

    def conclude(self, message: Message, outcome: Outcome, now: datetime) -> None:
        """Nothing is left to do; after a crash in between it is sent again. Raises StorageFullError."""
        note = {"id": message.id, "outcome": outcome, "attempts": message.attempts + 1, "at": now.isoformat()}
        self._writer.write_file(_path(_SENT, message.uid), json.dumps(note).encode(), replace=True)
        with suppress(FileMissingError):
            self._writer.remove_file(_path(_OUTBOX, message.uid))

    def sweep(self, now: datetime, older_than: timedelta) -> None:
        """Forget what was dealt with so long ago that nobody asks any more."""
        for name in self._names(_SENT):
            with suppress(FileMissingError, ValueError, TypeError, KeyError, BodyError):
                note = parse_json(self._workspace.read_file(f"{_SENT}/{name}", _MAX_BYTES))
                if now - datetime.fromisoformat(note["at"]) > older_than:
                    self._writer.remove_file(f"{_SENT}/{name}")

    def _names(self, directory: str) -> list[str]:
        try:
            names = [file.name for file in self._workspace.list_files(directory)]
        except FileMissingError:
            return []
        return [name for name in names if name.endswith(".json") and _UID.fullmatch(name.removesuffix(".json"))]

    def _read(self, uid: str) -> Message | None:
        try:
            stored = parse_json(self._workspace.read_file(_path(_OUTBOX, uid), _MAX_BYTES))
            message = _parsed(stored["message"])
            is_ours = self._key is None or self._key.is_sealed(message.sealed_part(), str(stored["seal"]))
        except (FileMissingError, BodyError, ValueError, TypeError, KeyError):
            return None
        return message if is_ours and message.uid == uid else None

    def _write(self, message: Message, replaces: bool = False) -> None:
        stored: dict[str, Any] = {"message": asdict(message)}
        if self._key is not None:
            stored["seal"] = self._key.seal(message.sealed_part())
        self._writer.write_file(_path(_OUTBOX, message.uid), json.dumps(stored).encode(), replaces)


def _path(directory: str, uid: str) -> str:
    return f"{directory}/{uid}.json"


def _parsed(value: Any) -> Message:
    """Raises TypeError, ValueError for what is no message."""
    message = Message(**value)
    texts = (message.uid, message.job, message.id, message.url, message.body)
    if not all(isinstance(text, str) for text in texts) or not isinstance(message.attempts, int):
        raise ValueError("not a message")
    return replace(
        message,
        created_at=float(message.created_at),
        next_attempt_at=float(message.next_attempt_at),
        needs_signature=bool(message.needs_signature),
    )
