"""The edge that tells whether a report comes from a pod of the attempt that it speaks for.

Anyone who may ask for a ServiceAccount token may choose its audience, so the audience alone proves nothing: the token
must be bound to a pod of our namespace, and that pod, by uid, must carry the job's uid and the attempt's number.
"""

import asyncio
import hashlib
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from fettle_api.errors import ForbiddenError, UnauthenticatedError
from fettle_api.resources.models import JobView
from fettle_client.protocol import PODS, ApiError, Manifest, NotFoundError, ResourceClient, ResourceKind
from fettle_schema.names import LABEL_ATTEMPT, LABEL_JOB_UID, progress_audience

TOKEN_REVIEWS = ResourceKind("authentication.k8s.io/v1", "TokenReview", "tokenreviews", namespaced=False)
_POD_NAME = "authentication.kubernetes.io/pod-name"
_POD_UID = "authentication.kubernetes.io/pod-uid"
_CACHE_SECONDS = 60.0
_RENEWAL_SECONDS = (25.0, 50.0)
"""When a token that is still in use is reviewed again, beside its reports; at random, so that not all are at once."""
_REFUSAL_CACHE_SECONDS = 5.0
_MAX_CACHED = 10_000
_Key = tuple[bytes, str, int]
"""Digest of a token, uid of a job, number of an attempt."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Verdict:
    expires: float
    renews: float
    refusal: UnauthenticatedError | ForbiddenError | None = None


class PodTokens:
    """Tokens of trainer pods. A review holds for a minute; who reports all the time never waits for the next one."""

    def __init__(self, client: ResourceClient, namespace: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._client, self._namespace, self._monotonic = client, namespace, monotonic
        self._verdicts: dict[_Key, _Verdict] = {}
        self._renewals: dict[_Key, asyncio.Task[None]] = {}

    async def check(self, token: str, job: JobView, attempt: int) -> None:
        """Raises UnauthenticatedError for a bad token, ForbiddenError for a good one of somebody else."""
        key = (hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest(), job.uid, attempt)
        verdict, now = self._verdicts.get(key), self._monotonic()
        if verdict is None or verdict.expires <= now:
            verdict = await self._review(token, job, attempt)
            self._remember(key, verdict)
        elif verdict.renews <= now and key not in self._renewals:
            self._renewals[key] = asyncio.create_task(self._renew(key, token, job, attempt), name=f"renew-{job.name}")
        if verdict.refusal is not None:
            raise verdict.refusal.with_traceback(None)

    async def _renew(self, key: _Key, token: str, job: JobView, attempt: int) -> None:
        try:
            self._remember(key, await self._review(token, job, attempt))
        except ApiError as error:  # the verdict that is held ends by itself
            _logger.info("token not reviewed again", extra={"job": job.name, "error": str(error)})
        finally:
            del self._renewals[key]

    async def _review(self, token: str, job: JobView, attempt: int) -> _Verdict:
        try:
            await self._check_pod(await self._user(token, job, attempt), job, attempt)
        except (UnauthenticatedError, ForbiddenError) as refusal:
            until = self._monotonic() + _REFUSAL_CACHE_SECONDS
            return _Verdict(until, until, refusal.with_traceback(None))
        now = self._monotonic()
        return _Verdict(now + _CACHE_SECONDS, now + random.uniform(*_RENEWAL_SECONDS))

    async def _user(self, token: str, job: JobView, attempt: int) -> Manifest:
        audience = progress_audience(self._namespace, job.name, attempt)
        review = {
            "apiVersion": TOKEN_REVIEWS.api_version,
            "kind": TOKEN_REVIEWS.kind,
            "metadata": {},
            "spec": {"token": token, "audiences": [audience]},
        }
        status = (await self._client.create(TOKEN_REVIEWS, review)).get("status") or {}
        if not status.get("authenticated") or audience not in (status.get("audiences") or []):
            raise UnauthenticatedError(f"the token is not valid for {audience!r}")
        user: Manifest = status.get("user") or {}
        return user

    async def _check_pod(self, user: Manifest, job: JobView, attempt: int) -> None:
        if not str(user.get("username")).startswith(f"system:serviceaccount:{self._namespace}:"):
            raise ForbiddenError(f"the token is not of a service account in namespace {self._namespace!r}")
        extra = user.get("extra") or {}
        name, uid = (extra.get(_POD_NAME) or [None])[0], (extra.get(_POD_UID) or [None])[0]
        if not name or not uid:
            raise ForbiddenError("the token is not bound to a pod")
        try:
            metadata = (await self._client.get(PODS, name, self._namespace))["metadata"]
        except NotFoundError as error:
            raise ForbiddenError(f"pod {name!r} does not exist") from error
        labels = metadata.get("labels") or {}
        is_same = metadata["uid"] == uid and labels.get(LABEL_JOB_UID) == job.uid
        if not is_same or labels.get(LABEL_ATTEMPT) != str(attempt):
            raise ForbiddenError(f"pod {name!r} does not belong to attempt {attempt} of {job.name!r}")

    def _remember(self, key: tuple[bytes, str, int], verdict: _Verdict) -> None:
        now = self._monotonic()
        if len(self._verdicts) >= _MAX_CACHED:
            self._verdicts = {held: old for held, old in self._verdicts.items() if old.expires > now}
        while len(self._verdicts) >= _MAX_CACHED:
            del self._verdicts[next(iter(self._verdicts))]
        self._verdicts[key] = verdict
