"""The installation's key, and what is signed with it: messages for receivers, and the outbox's own files."""

import base64
import binascii
import hashlib
import hmac
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fettle_schema.errors import FettleError

PREFIX = "whsec_"
_MIN_BYTES, _MAX_BYTES = 24, 64


class SigningKeyError(FettleError):
    """The key's file does not hold one. Says nothing of its content."""

    code = "SigningKey"


@dataclass(frozen=True)
class SigningKey:
    """A key as Standard Webhooks has them."""

    content: bytes = field(repr=False)

    def signature(self, message_id: str, timestamp: int, body: bytes) -> str:
        """Value of the header `webhook-signature`."""
        digest = self._digest(f"{message_id}.{timestamp}.".encode() + body)
        return f"v1,{base64.b64encode(digest).decode()}"

    def seal(self, content: bytes) -> str:
        """Proves later that a file is ours: trainers can write where the outbox lies."""
        return self._digest(b"outbox\0" + content).hex()

    def is_sealed(self, content: bytes, seal: str) -> bool:
        """Whether `seal` is the one of `content`."""
        return hmac.compare_digest(self.seal(content).encode(), seal.encode())

    def _digest(self, content: bytes) -> bytes:
        return hmac.new(self.content, content, hashlib.sha256).digest()


def ensure_key(path: Path) -> Path:
    """A new random key in `path`, for its owner's eyes only, if there is no such file; `path`. Raises OSError."""
    content = f"{PREFIX}{base64.b64encode(secrets.token_bytes(32)).decode()}\n".encode()
    partial = path.with_name(f".{path.name}-{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
        with suppress(FileExistsError):
            os.link(partial, path)
    finally:
        partial.unlink()
    return path


def read_key(path: Path) -> SigningKey:
    """Raises SigningKeyError, OSError."""
    text = path.read_text(encoding="ascii", errors="replace").strip()
    try:
        content = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        content = b""
    if not _MIN_BYTES <= len(content) <= _MAX_BYTES:
        raise SigningKeyError(
            f"webhook_key_file {str(path)!r} must hold {PREFIX} and {_MIN_BYTES} to {_MAX_BYTES} bytes in Base64"
        )
    return SigningKey(content)
