"""One attempt to deliver a message, and when the next one is due."""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime
from enum import StrEnum

from fettle_api.errors import RemoteError, UrlError
from fettle_api.outbound import Outbound
from fettle_api.webhooks.outbox import Message
from fettle_api.webhooks.signing import SigningKey

TIMEOUT_SECONDS = 15.0
_FIRST_PAUSE_SECONDS = 5.0
_LONGEST_PAUSE_SECONDS = 3600.0
_GONE = 410


class Result(StrEnum):
    """What came of an attempt."""

    DELIVERED = "delivered"
    FAILED = "failed"
    UNWANTED = "unwanted"


def pause_seconds(attempts: int, fraction: Callable[[], float] = random.random) -> float:
    """After so many attempts: 5 s, 10 s, 20 s … an hour, and up to a fifth more, so that not all come back at once."""
    pause = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 20))
    return pause * (1 + fraction() / 5)


async def deliver(
    message: Message, outbound: Outbound, key: SigningKey | None, clock: Callable[[], datetime]
) -> tuple[Result, str]:
    """Send it once. The result, and words for the log, which name no URL."""
    if message.needs_signature and key is None:
        return Result.FAILED, "webhook_key_file is not set, and this format must be signed"
    body = message.body.encode()
    try:
        async with (
            asyncio.timeout(TIMEOUT_SECONDS),
            outbound.request(
                "POST",
                message.url,
                content=body,
                headers=_headers(message, body, key, clock()),
                timeout_seconds=TIMEOUT_SECONDS,
            ) as answer,
        ):
            status = answer.status
    except (UrlError, RemoteError) as error:
        return Result.FAILED, f"{error.code}: {error}"
    except TimeoutError:
        return Result.FAILED, f"no answer within {TIMEOUT_SECONDS:.0f} s"
    if 200 <= status < 300:
        return Result.DELIVERED, str(status)
    return Result.UNWANTED if status == _GONE else Result.FAILED, f"answered {status}"


def _headers(message: Message, body: bytes, key: SigningKey | None, now: datetime) -> dict[str, str]:
    timestamp = int(now.timestamp())
    headers = {
        "content-type": "application/json",
        "webhook-id": message.id,
        "webhook-timestamp": str(timestamp),
    }
    return headers if key is None else {**headers, "webhook-signature": key.signature(message.id, timestamp, body)}
