"""Leadership by a Lease, fail closed: who cannot renew in time has lost it and must exit."""

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from fettle_client.lease import LeaseHolder
from fettle_client.protocol import AlreadyExistsError, ApiError, ConflictError, ResourceClient
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
        self._namespace, self._name, self._identity = namespace, name, identity
        self._times, self._monotonic = times or LeaseTimes(), monotonic
        self._lease = LeaseHolder(client, namespace, name, identity, self._times.duration_seconds, monotonic)
        self.is_leading = False

    async def acquire(self) -> None:
        """Return when this candidate leads."""
        while not await self._attempt(self._times.retry_seconds * 2):  # noqa: ASYNC110 - another process decides
            await asyncio.sleep(self._times.retry_seconds)
        self.is_leading = True
        _log.info("leading", extra=self._about())

    async def hold(self) -> None:
        """Renew; return when leadership is lost, which is before anyone else may have it."""
        times = self._times
        while (left := self._lease.renewed_at + times.renew_deadline_seconds - self._monotonic()) > 0:
            renewed = await self._attempt(min(left, times.retry_seconds * 2))
            await asyncio.sleep(times.retry_seconds if renewed else min(0.5, times.retry_seconds))
        self.is_leading = False
        _log.error("leadership lost", extra=self._about())

    async def release(self) -> None:
        """Let another take over at once. Only after everything has stopped."""
        try:
            await self._lease.release()
        except ApiError as error:
            _log.warning("lease not released: %s", error, extra=self._about())

    async def _attempt(self, budget_seconds: float) -> bool:
        try:
            async with asyncio.timeout(budget_seconds):
                return await self._lease.take_or_renew()
        except (ConflictError, AlreadyExistsError):
            return False
        except (ApiError, TimeoutError, OSError) as error:
            _log.warning("lease not renewed: %r", error, extra=self._about())
            return False

    def _about(self) -> Manifest:
        return fields({"namespace": self._namespace, "name": self._name}, identity=self._identity)
