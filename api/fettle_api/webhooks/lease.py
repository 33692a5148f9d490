"""Who sends: the holder of one Lease. Two for a moment do no harm, because a message may come twice.

Clocks of different machines are never compared: another holder's Lease has expired when it did not change for its
duration on our own monotonic clock.
"""

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from fettle_client.protocol import (
    LEASES,
    AlreadyExistsError,
    ApiError,
    ConflictError,
    Manifest,
    NotFoundError,
    ResourceClient,
)
from fettle_schema.names import LABEL_MANAGED_BY, MANAGED_BY

LEASE_NAME = "fettle-webhooks"
DURATION_SECONDS = 30

_logger = logging.getLogger(__name__)


class SenderLease:
    """One facade's view of the Lease."""

    def __init__(
        self,
        client: ResourceClient,
        namespace: str,
        identity: str,
        duration_seconds: float = DURATION_SECONDS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._namespace, self._identity = client, namespace, identity
        self._duration_seconds, self._monotonic = duration_seconds, monotonic
        self._seen: tuple[object, object] | None = None
        self._seen_at = 0.0
        self._is_held = False

    async def hold(self) -> bool:
        """Take or renew; False while another facade sends, or the API server cannot be asked."""
        try:
            self._is_held = await self._take_or_renew()
        except (ConflictError, AlreadyExistsError, NotFoundError):
            self._is_held = False
        except ApiError as error:
            _logger.warning("lease of the webhooks not renewed", extra={"code": error.code})
            self._is_held = False
        return self._is_held

    async def release(self) -> None:
        """Let another facade send at once; nothing to do if we do not."""
        if not self._is_held:
            return
        self._is_held = False
        try:
            lease = await self._client.get(LEASES, LEASE_NAME, self._namespace)
            if lease["spec"].get("holderIdentity") == self._identity:
                await self._client.replace(LEASES, {**lease, "spec": self._spec(holder="")})
        except ApiError as error:
            _logger.warning("lease of the webhooks not released", extra={"code": error.code})

    async def _take_or_renew(self) -> bool:
        try:
            lease = await self._client.get(LEASES, LEASE_NAME, self._namespace)
        except NotFoundError:
            await self._client.create(LEASES, self._new())
            return True
        if not self._may_take(lease.get("spec") or {}):
            return False
        await self._client.replace(LEASES, {**lease, "spec": self._spec(self._identity)})
        return True

    def _may_take(self, spec: Manifest) -> bool:
        holder, now = spec.get("holderIdentity"), self._monotonic()
        mark = (holder, spec.get("renewTime"))
        if mark != self._seen:
            self._seen, self._seen_at = mark, now
        duration = spec.get("leaseDurationSeconds") or self._duration_seconds
        return not holder or holder == self._identity or now - self._seen_at >= duration

    def _new(self) -> Manifest:
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {
                "name": LEASE_NAME,
                "namespace": self._namespace,
                "labels": {LABEL_MANAGED_BY: MANAGED_BY},
            },
            "spec": self._spec(self._identity),
        }

    def _spec(self, holder: str) -> Manifest:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        return {
            "holderIdentity": holder,
            "renewTime": now,
            "leaseDurationSeconds": max(1, round(self._duration_seconds)),
        }
