"""The loop: events make keys, workers take keys through observe, reconcile and apply. Decides nothing itself.

It never watches: Kopf or the engine of one machine feeds `observe_event`. A periodic list makes up for lost events.
"""

import asyncio
import json
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from contextlib import aclosing, nullcontext
from datetime import datetime

from fettle_client.protocol import TRAINING_JOBS, ApiError, ResourceClient
from fettle_operator.adapters.controller import AdapterController, build_engine_client
from fettle_operator.announcer import Announcer
from fettle_operator.census import Census
from fettle_operator.children import NameTakenError, RefusedError
from fettle_operator.cluster import Cluster
from fettle_operator.job_metrics import record_change
from fettle_operator.logs import fields
from fettle_operator.metrics import Metrics
from fettle_operator.observation import Observation, operator_fields, parse_status
from fettle_operator.plan import Key, Manifest, Plan, key_of
from fettle_operator.queue_index import QueueIndex
from fettle_operator.reconcile import reconcile
from fettle_operator.serving.visits import EngineCalls
from fettle_operator.settings import OperatorSettings, QueueLimits
from fettle_operator.workers import work
from fettle_operator.workqueue import WorkQueue
from fettle_schema.names import LABEL_ENGINE, LABEL_JOB
from fettle_schema.vocabulary import Phase

_log = logging.getLogger(__name__)

UNFINISHED = ",".join(f"status.phase!={phase.value}" for phase in Phase if phase.is_finished)
"""Field selector of TrainingJobs that something may still happen to."""

_RESYNC_RETRY_SECONDS = 5.0
_FINISHED = frozenset(phase.value for phase in Phase if phase.is_finished)


class Controller:
    """Runs all jobs that it is told of. One is enough for a cluster; two do no harm."""

    def __init__(
        self,
        client: ResourceClient,
        settings: OperatorSettings,
        clock: Callable[[], datetime],
        metrics: Metrics | None = None,
        engines: Callable[[], EngineCalls] = build_engine_client,
    ) -> None:
        self.metrics = metrics or Metrics()
        self.announcer = Announcer(client, clock, is_enabled=settings.post_events, is_busy=lambda: self.queue_depth > 0)
        self.adapters = AdapterController(client, settings, clock, self.metrics, engines, self.announcer)
        self.synced = asyncio.Event()
        self._client, self._settings, self._clock = client, settings, clock
        self._cluster = Cluster(client, settings, clock, self.adapters.is_known)
        self._index = QueueIndex()
        self._census = Census(self.metrics, clock)
        self._queue: WorkQueue[Key] = WorkQueue()
        self._seen: dict[Key, int] = {}
        self._beginning: dict[Key, Observation] = {}
        """Jobs that are to be started, as they were last seen: each is read once, so a burst asks for none again."""
        self._queue_locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._stopping = asyncio.Event()

    def observe_event(self, event_type: str | None, manifest: Manifest) -> None:
        """Take in one watch event (`ADDED`, `MODIFIED`, `DELETED`; None for a listed resource). Fast, no I/O."""
        kind = manifest.get("kind")
        if kind == "TrainingJob":
            self._observe_job(manifest, is_deleted=event_type == "DELETED")
        elif kind == "Adapter":
            self.adapters.observe_adapter(manifest, is_deleted=event_type == "DELETED")
        elif kind in ("Job", "Pod"):
            self._observe_child(manifest)

    def _observe_child(self, child: Manifest) -> None:
        metadata = child["metadata"]
        labels = metadata.get("labels") or {}
        if job_name := labels.get(LABEL_JOB):
            self.enqueue("TrainingJob", metadata["namespace"], job_name)
        self.adapters.observe_child(child)
        if LABEL_ENGINE in labels:
            self.adapters.observe_engines(metadata["namespace"])

    def enqueue(self, kind: str, namespace: str, name: str) -> None:
        """Look at a job soon; other kinds are not counted here."""
        if kind == "TrainingJob":
            self._look_at((namespace, name))
            self.metrics.queue_depth.set(self.queue_depth)

    async def run(self, workers: int | None = None) -> None:
        """Work until `stop` or cancelled. Nothing starts before all unfinished jobs are known: admission counts."""
        while not self._stopping.is_set() and not await self._is_done(self._learn()):
            await self._pause(_RESYNC_RETRY_SECONDS)
        if not self._stopping.is_set():
            self.synced.set()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers or self._settings.workers):
                    group.create_task(work(self._queue, self._pass, self.metrics, _about))
                group.create_task(self.adapters.run(self._settings.adapter_workers))
                group.create_task(self._resync_periodically())
                group.create_task(self.announcer.run())
        finally:
            self.stop()

    def stop(self) -> None:
        """Finish the passes that are under way, start no other."""
        self._stopping.set()
        self._queue.close()
        self.adapters.stop()
        self.announcer.stop()

    @property
    def queue_depth(self) -> int:
        """Jobs that wait for a worker."""
        return len(self._queue)

    async def reconcile_once(self, key: Key) -> bool:
        """One pass over one job; True if it changed anything. Raises ApiError."""
        bare = self._beginning.pop(key, None)
        if bare is None:
            job = await self._cluster.find_job(key)
            if job is None:
                self._forget(key)
                return False
            self._remember(job)
            bare = self._beginning.pop(key, None) or Observation(job)
        observation = await self._cluster.observe(bare)
        if not observation.needs_admission:
            return await self._carry_out(observation)
        queue = observation.queue
        limits = self._settings.queue_limits(queue) or QueueLimits(max_running=0)
        async with nullcontext() if limits.is_unlimited else self._queue_locks[queue]:
            return await self._carry_out(observation.but(admission=self._index.decision(key, limits)))

    async def _carry_out(self, observation: Observation, *, is_whole: bool = False) -> bool:
        plan = reconcile(observation, self._clock(), self._settings)
        if observation.is_blind and not plan.create:
            return await self._look_at_all(observation)
        try:
            written = await self._cluster.apply(observation, plan)
        except NameTakenError:
            if is_whole:
                raise
            return await self._look_at_all(observation)
        except RefusedError as error:
            observation = observation.but(refusal=error.refusal)
            plan = reconcile(observation, self._clock(), self._settings)
            written = await self._cluster.apply(observation, plan)
        if written is not None:
            self._report(observation, written, plan.restart_cause)
        self._schedule(observation, plan)
        return not plan.is_empty

    async def _look_at_all(self, observation: Observation) -> bool:
        return await self._carry_out(await self._cluster.observe_all(observation), is_whole=True)

    def _schedule(self, observation: Observation, plan: Plan) -> None:
        key = (observation.job["metadata"]["namespace"], observation.name)
        if plan.settle_seconds is not None:
            self._queue.hold(key, plan.settle_seconds)
        elif not plan.is_empty:
            self._look_at(key)
        elif plan.requeue_after_seconds is not None:
            self._queue.add_after(key, plan.requeue_after_seconds)

    def _report(self, observation: Observation, written: Manifest, restart_cause: str | None) -> None:
        written = {**written, "kind": "TrainingJob"}
        self._remember(written)
        before, after = observation.status, parse_status(written)
        record_change(self.metrics, written, before, after, restart_cause)
        if (before.phase, before.reason) == (after.phase, after.reason) or after.phase is None:
            return
        about = fields(written["metadata"], phase=after.phase.value, reason=after.reason, attempt=_attempt(written))
        _log.info("job changed: %s", after.message or "", extra=about)
        if before.phase != after.phase:
            self.announcer.announce(written)

    async def _pass(self, key: Key) -> bool:
        try:
            return await self.reconcile_once(key)
        finally:
            self.metrics.queue_depth.set(self.queue_depth)

    async def _resync_periodically(self) -> None:
        is_first = True
        while not self._stopping.is_set():
            await self._is_done(self._resync(is_first=is_first))
            await self._pause(self._settings.resync_seconds)
            is_first = False

    async def _is_done(self, listing: Awaitable[None]) -> bool:
        try:
            await listing
        except ApiError as error:
            _log.warning("could not list TrainingJobs and Adapters: %s", error)
            return False
        return True

    async def _learn(self) -> None:
        """List what may have to be done next: unfinished jobs, and Adapters. Raises ApiError."""
        for namespace in self._namespaces:
            for job in (await self._client.list(TRAINING_JOBS, namespace, field_selector=UNFINISHED)).items:
                self._remember(job)
                self._look_at(key_of(job))
        await self.adapters.resync(self._settings.watch_namespaces)

    async def _resync(self, *, is_first: bool) -> None:
        """Go through all jobs, page by page, and look at those that may need it. Raises ApiError.

        The first time only for what is finished or new: everything else was just learned.
        """
        for namespace in self._namespaces:
            keys: set[Key] = set()
            version = ""
            async with aclosing(self._client.pages(TRAINING_JOBS, namespace)) as pages:  # type: ignore[type-var]
                async for page in pages:
                    version = page.resource_version
                    keys |= {key_of(job) for job in page.items}
                    for job in page.items:
                        is_news = self._remember(job)
                        needs_a_look = _has_time_to_live(job) if _is_finished(job) else is_news or not is_first
                        if needs_a_look:
                            self._look_at(key_of(job))
            for key in self._index.missing(keys, namespace, version):
                self._forget(key)
        if not is_first:
            await self.adapters.resync(self._settings.watch_namespaces)

    @property
    def _namespaces(self) -> list[str | None]:
        return [*self._settings.watch_namespaces] or [None]

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _observe_job(self, job: Manifest, *, is_deleted: bool) -> None:
        key = key_of(job)
        if is_deleted:
            self._drop(key)
            for waiting in self._index.observe(job, is_deleted=True):
                self._look_at(waiting)
            self._look_at(key)
        elif self._remember(job):
            self._look_at(key)

    def _remember(self, job: Manifest) -> bool:
        """Take a manifest into the index; True if it differs in more than the receiver's fields."""
        key, fingerprint = key_of(job), _fingerprint(job)
        is_news = self._seen.get(key) != fingerprint
        self._seen[key] = fingerprint
        self._census.observe(job)
        for waiting in self._index.observe(job):
            self._look_at(waiting)
        bare = Observation(job)
        if self._index.is_newest(job) and not self._will_be_started(bare):
            self._beginning.pop(key, None)
            if bare.is_to_be_started and not self._cluster.has_begun(job):
                self._beginning[key] = bare
        return is_news

    def _will_be_started(self, bare: Observation) -> bool:
        """Whether this very version waits to be started: the watch repeats what we wrote."""
        known = self._beginning.get(key_of(bare.job))
        return known is not None and known.version == bare.version

    def _look_at(self, key: Key) -> None:
        """Jobs that are to be started go first: a thousand new ones do not wait for the second look at each other."""
        self._queue.add(key, is_urgent=key in self._beginning)

    def _forget(self, key: Key) -> None:
        self._drop(key)
        for waiting in self._index.remove(key):
            self._look_at(waiting)

    def _drop(self, key: Key) -> None:
        self._seen.pop(key, None)
        self._beginning.pop(key, None)
        self._census.forget(key)
        self._cluster.forget(key)


def _attempt(job: Manifest) -> int:
    return int(((job.get("status") or {}).get("attempts") or {}).get("current", 0))


def _fingerprint(job: Manifest) -> int:
    metadata = job["metadata"]
    status = operator_fields(job.get("status") or {})
    parts = [metadata.get("uid"), metadata.get("generation"), metadata.get("deletionTimestamp"), status]
    return hash(json.dumps(parts, sort_keys=True, default=str))


def _is_finished(job: Manifest) -> bool:
    return (job.get("status") or {}).get("phase") in _FINISHED


def _has_time_to_live(job: Manifest) -> bool:
    limits = (job.get("spec") or {}).get("limits") or {}
    return limits.get("ttlSecondsAfterFinished") is not None


def _about(key: Key) -> dict[str, str]:
    return {"namespace": key[0], "name": key[1]}
