"""Leadership by a Lease, fail closed: who cannot renew in time has lost it and must exit.

Clocks of different machines are never compared: another holder's lease has expired when it did not change for its
duration on our own monotonic clock.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from fettle_client.protocol import LEASES, AlreadyExistsError, ApiError, ConflictError, NotFoundError, ResourceClient
from fettle_operator.logs import fields
from fettle_operator.plan import Manifest

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class LeaseTimes:
    """`renew_deadline` < `duration`: a leader stops before another may start."""

    duration_seconds: float = 15.0
    renew_deadline_seconds: float = 10.0
    retry_seconds: float = 2.0


class LeaderElector:
    """One candidate for one Lease."""

    def __init__(
        self,
        client: ResourceClient,
        namespace: str,
        name: str,
        identity: str,
        times: LeaseTimes | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._namespace, self._name, self._identity = client, namespace, name, identity
        self._times, self._monotonic = times or LeaseTimes(), monotonic
        self.is_leading = False
        self._seen: tuple[str | None, str | None] | None = None
        self._seen_at = 0.0
        self._renewed_at = 0.0

    async def acquire(self) -> None:
        """Return when this candidate leads."""
        while not await self._attempt(self._times.retry_seconds * 2):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(self._times.retry_seconds)
        self.is_leading = True
        _log.info("leading", extra=self._about())

    async def hold(self) -> None:
        """Renew; return when leadership is lost, which is before anyone else may have it."""
        times = self._times
        while (left := self._renewed_at + times.renew_deadline_seconds - self._monotonic()) > 0:
            renewed = await self._attempt(min(left, times.retry_seconds * 2))
            await asyncio.sleep(times.retry_seconds if renewed else min(0.5, times.retry_seconds))
        self.is_leading = False
        _log.error("leadership lost", extra=self._about())

    async def release(self) -> None:
        """Let another take over at once. Only after everything has stopped."""
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
            if lease["spec"].get("holderIdentity") == self._identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
                await self._client.replace(LEASES, lease)
        except ApiError as error:
            _log.warning("lease not released: %s", error, extra=self._about())

    async def _attempt(self, budget_seconds: float) -> bool:
        try:
            async with asyncio.timeout(budget_seconds):
                return await self._take_or_renew()
        except (ConflictError, AlreadyExistsError):
            return False
        except (ApiError, TimeoutError, OSError) as error:
            _log.warning("lease not renewed: %r", error, extra=self._about())
            return False

    async def _take_or_renew(self) -> bool:
        started = self._monotonic()
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except NotFoundError:
            await self._client.create(LEASES, self._new_lease())
        else:
            if not self._may_take(lease, started):
                return False
            await self._client.replace(LEASES, self._taken(lease))
        self._renewed_at = started  # counted from before the request: the lease is never younger than we think
        return True

    def _may_take(self, lease: Manifest, now: float) -> bool:
        spec = lease.setdefault("spec", {})
        holder, mark = spec.get("holderIdentity"), (spec.get("holderIdentity"), spec.get("renewTime"))
        if mark != self._seen:
            self._seen, self._seen_at = mark, now
        duration = spec.get("leaseDurationSeconds") or self._times.duration_seconds
        return not holder or holder == self._identity or now - self._seen_at >= duration

    def _taken(self, lease: Manifest) -> Manifest:
        spec = lease["spec"]
        if spec.get("holderIdentity") != self._identity:
            spec |= {"leaseTransitions": (spec.get("leaseTransitions") or 0) + 1, "acquireTime": _now()}
        spec |= {"holderIdentity": self._identity, "renewTime": _now(), "leaseDurationSeconds": self._duration}
        return lease

    def _new_lease(self) -> Manifest:
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._duration,
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": 0,
        }
        return {"metadata": {"name": self._name, "namespace": self._namespace}, "spec": spec}

    @property
    def _duration(self) -> int:
        return max(1, round(self._times.duration_seconds))

    def _about(self) -> Manifest:
        return fields({"namespace": self._namespace, "name": self._name}, identity=self._identity)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
