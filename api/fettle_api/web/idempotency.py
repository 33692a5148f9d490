"""Idempotency-Key: the same key with the same request is the same job, however often it is sent. Pure.

The job's name follows from the key, so of any number of requests at once, in any number of facades, the API server
lets one create it. The job carries a digest of the request, keyed with the key, so that it gives nothing away.
"""

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fettle_api.errors import IdempotencyKeyError

HEADER = "Idempotency-Key"


@dataclass(frozen=True)
class Identity:
    """What a new job's id is made of."""

    digits: str
    """64 hexadecimal digits: random, or for a key always the same."""
    request_digest: str | None = None
    """For JobRequest.request_digest."""


def identify(headers: Mapping[str, str], principal: str, scope: str, body: Mapping[str, Any]) -> Identity:
    """`scope` names dialect and operation: keys of one mean nothing in another. Raises IdempotencyKeyError."""
    key = headers.get(HEADER)
    if key is None:
        return Identity(secrets.token_hex(32))
    if not re.fullmatch(r"[\x21-\x7e]{1,255}", key):
        raise IdempotencyKeyError(f"{HEADER} must be 1 to 255 printable ASCII characters without spaces")
    digits = hashlib.sha256("\0".join((principal, scope, key)).encode()).hexdigest()
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    return Identity(digits, hmac.new(key.encode(), canonical, hashlib.sha256).hexdigest())
