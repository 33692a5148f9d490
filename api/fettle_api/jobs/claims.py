"""Claims: of several submits at once, also in several processes, one goes ahead. The edge to one Lease for each claim.

A claim names the job that is about to be created. Whoever comes second finds the name and asks whether that job is
still in the way. A claim whose job never came (the facade died in between) lapses. Clocks may differ: whoever claims
late confirms after creating the job, on condition that nobody has taken the claim meanwhile, and else withdraws.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime

from fettle_client.protocol import (
    LEASES,
    AlreadyExistsError,
    ApiError,
    ConflictError,
    Manifest,
    NotFoundError,
    ResourceClient,
)
from fettle_schema.names import GROUP, LABEL_MANAGED_BY, MANAGED_BY

_ANNOTATION_CONFIRMED = f"{GROUP}/confirmed"
_LAPSE_SECONDS = 15
_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
_MAX_TRIES = 20

IsInTheWay = Callable[[str], Awaitable[bool | None]]
"""Whether the job of this name is; None if there is no such job."""


class ClaimedError(Exception):
    """Somebody else has the claim, for the job `job_name`."""

    def __init__(self, job_name: str) -> None:
        super().__init__(job_name)
        self.job_name = job_name


@dataclass(frozen=True)
class Claim:
    """A claim that was taken: the Lease as it was written."""

    lease: Manifest


class Claims:
    """Claims in one namespace."""

    def __init__(self, client: ResourceClient, namespace: str, clock: Callable[[], datetime]) -> None:
        self._client, self._namespace, self._clock = client, namespace, clock

    async def take(self, name: str, job_name: str, is_in_the_way: IsInTheWay) -> Claim:
        """Raises ClaimedError."""
        for _ in range(_MAX_TRIES):
            try:
                return await self._try(name, job_name, is_in_the_way)
            except (AlreadyExistsError, ConflictError):
                continue
        raise ClaimedError(await self._holder(name) or "")

    async def confirm(self, claim: Claim) -> bool:
        """After the job was created: False if another job has the claim by now, so this one must go."""
        annotations = {_ANNOTATION_CONFIRMED: "true"}
        lease = {**claim.lease, "metadata": {**claim.lease["metadata"], "annotations": annotations}}
        try:
            await self._client.replace(LEASES, lease)
        except (ConflictError, NotFoundError):
            return await self._holder(claim.lease["metadata"]["name"]) == str(claim.lease["spec"]["holderIdentity"])
        return True

    async def give_back(self, claim: Claim) -> None:
        """The job was not created. An error is no harm: the claim lapses."""
        lease = {**claim.lease, "spec": {**claim.lease["spec"], "holderIdentity": ""}}
        try:
            await self._client.replace(LEASES, lease)
        except ApiError:
            return

    async def _holder(self, name: str) -> str | None:
        try:
            lease = await self._client.get(LEASES, name, self._namespace)
        except NotFoundError:
            return None
        return str(lease["spec"].get("holderIdentity") or "")

    async def _try(self, name: str, job_name: str, is_in_the_way: IsInTheWay) -> Claim:
        try:
            lease = await self._client.get(LEASES, name, self._namespace)
        except NotFoundError:
            return Claim(await self._client.create(LEASES, self._lease(name, job_name)))
        holder = str(lease["spec"].get("holderIdentity") or "")
        if holder and holder != job_name:
            answer = await is_in_the_way(holder)
            if answer or (answer is None and self._is_expected(lease)):
                raise ClaimedError(holder)
        version = {"resourceVersion": lease["metadata"]["resourceVersion"]}
        wanted = self._lease(name, job_name)
        return Claim(await self._client.replace(LEASES, {**wanted, "metadata": {**wanted["metadata"], **version}}))

    def _is_expected(self, lease: Manifest) -> bool:
        """Whether a job that is not there may be about to come."""
        if (lease["metadata"].get("annotations") or {}).get(_ANNOTATION_CONFIRMED):
            return False
        try:
            claimed_at = datetime.fromisoformat(str(lease["spec"].get("acquireTime")))
            return abs((self._clock() - claimed_at).total_seconds()) < _LAPSE_SECONDS
        except (ValueError, TypeError):
            return False

    def _lease(self, name: str, job_name: str) -> Manifest:
        now = self._clock().strftime(_TIME)
        return {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": {
                "name": name,
                "namespace": self._namespace,
                "labels": {LABEL_MANAGED_BY: MANAGED_BY},
            },
            "spec": {
                "holderIdentity": job_name,
                "acquireTime": now,
                "renewTime": now,
                "leaseDurationSeconds": _LAPSE_SECONDS,
            },
        }
