"""Holding a Lease: take it, renew it, let it go. Who holds it for what is the caller's business.

Clocks of different machines are never compared: another holder's Lease has expired when it did not change for its
duration on our own monotonic clock.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from fettle_client.protocol import LEASES, Manifest, NotFoundError, ResourceClient


class LeaseHolder:
    """One candidate for one Lease."""

    def __init__(
        self,
        client: ResourceClient,
        namespace: str,
        name: str,
        identity: str,
        duration_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self.renewed_at = 0.0
        """On the monotonic clock, counted from before the request: the Lease is never younger than this."""
        self._client, self._namespace, self._name, self._identity = client, namespace, name, identity
        self._duration_seconds, self._monotonic, self._labels = duration_seconds, monotonic, labels
        self._seen: tuple[object, object] | None = None
        self._seen_at = 0.0

    async def take_or_renew(self) -> bool:
        """False while somebody else holds it.

        Raises ConflictError and AlreadyExistsError if another was faster, ApiError if the API server cannot be asked.
        """
        started = self._monotonic()
        try:
            lease = await self._client.get(LEASES, self._name, self._namespace)
        except NotFoundError:
            await self._client.create(LEASES, self._new())
        else:
            if not self._may_take(lease.setdefault("spec", {}), started):
                return False
            await self._client.replace(LEASES, self._taken(lease))
        self.renewed_at = started
        return True

    async def release(self) -> None:
        """Let another take over at once; nothing to do if it is not ours. Raises ApiError."""
        lease = await self._client.get(LEASES, self._name, self._namespace)
        if lease["spec"].get("holderIdentity") == self._identity:
            lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": _now()}
            await self._client.replace(LEASES, lease)

    def _may_take(self, spec: Manifest, now: float) -> bool:
        holder = spec.get("holderIdentity")
        mark = (holder, spec.get("renewTime"))
        if mark != self._seen:
            self._seen, self._seen_at = mark, now
        duration = spec.get("leaseDurationSeconds") or self._duration_seconds
        return not holder or holder == self._identity or now - self._seen_at >= duration

    def _taken(self, lease: Manifest) -> Manifest:
        spec = lease["spec"]
        if spec.get("holderIdentity") != self._identity:
            spec |= {"leaseTransitions": (spec.get("leaseTransitions") or 0) + 1, "acquireTime": _now()}
        spec |= {"holderIdentity": self._identity, "renewTime": _now(), "leaseDurationSeconds": self._duration}
        return lease

    def _new(self) -> Manifest:
        spec = {
            "holderIdentity": self._identity,
            "leaseDurationSeconds": self._duration,
            "acquireTime": _now(),
            "renewTime": _now(),
            "leaseTransitions": 0,
        }
        metadata: Manifest = {"name": self._name, "namespace": self._namespace}
        if self._labels:
            metadata["labels"] = dict(self._labels)
        return {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": spec}

    @property
    def _duration(self) -> int:
        return max(1, round(self._duration_seconds))


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
