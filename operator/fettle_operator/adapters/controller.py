"""The loop of Adapters: events make keys, workers take them through observe, reconcile and apply, or through a round
over the engines of a namespace. Decides nothing itself, and never watches.
"""

import asyncio
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from fettle_client.protocol import ADAPTERS, ResourceClient
from fettle_operator.adapters.cluster import AdapterCluster
from fettle_operator.adapters.observation import AdapterObservation, has_finalizer, parse_adapter_status
from fettle_operator.adapters.reconcile import reconcile_adapter
from fettle_operator.announcer import Announcer
from fettle_operator.children import RefusedError
from fettle_operator.logs import fields
from fettle_operator.metrics import Metrics
from fettle_operator.plan import Key, Manifest, Plan, key_of
from fettle_operator.serving.rounds import Rounds
from fettle_operator.serving.visits import EngineCalls
from fettle_operator.settings import OperatorSettings
from fettle_operator.workers import work
from fettle_operator.workqueue import WorkQueue
from fettle_schema.names import LABEL_ADAPTER

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Look:
    """What is to be looked at: one Adapter, or the engines of a namespace (without a name)."""

    kind: Literal["Adapter", "Engines"]
    namespace: str
    name: str = ""

    @property
    def key(self) -> Key:
        """The Adapter."""
        return self.namespace, self.name


class AdapterController:
    """Looks after all Adapters that it is told of."""

    def __init__(
        self,
        client: ResourceClient,
        settings: OperatorSettings,
        clock: Callable[[], datetime],
        metrics: Metrics,
        engines: Callable[[], EngineCalls],
        announcer: Announcer,
    ) -> None:
        self._client, self._settings, self._clock, self._metrics = client, settings, clock, metrics
        self._cluster, self._announcer = AdapterCluster(client, settings, clock), announcer
        self._queue: WorkQueue[Look] = WorkQueue()
        self._seen: dict[Key, tuple[int, int]] = {}
        self._make_engines = engines
        self._rounds: Rounds | None = None

    def observe_adapter(self, adapter: Manifest, *, is_deleted: bool) -> None:
        """Take in one Adapter; what has not changed since is not looked at. Fast, no I/O."""
        key = key_of(adapter)
        before = self._seen.pop(key, (0, 0))
        now = _fingerprints(adapter)
        if not is_deleted:
            self._seen[key] = now
            if before[0] != now[0]:
                self._queue.add(Look("Adapter", *key))
        if _concerns_engines(adapter) and (is_deleted or before[1] != now[1]):
            self.observe_engines(key[0])

    def is_known(self, key: Key) -> bool:
        """Whether an Adapter of that name was heard of and not that it is gone."""
        return key in self._seen

    def observe_child(self, child: Manifest) -> None:
        """Take in a Job that examines files, or a pod of one."""
        metadata = child["metadata"]
        name = (metadata.get("labels") or {}).get(LABEL_ADAPTER)
        if name:
            self._queue.add(Look("Adapter", metadata["namespace"], name))

    def observe_engines(self, namespace: str) -> None:
        """Something about the engines of a namespace may have changed."""
        if self._settings.loads_adapters:
            self._queue.add(Look("Engines", namespace))

    async def run(self, workers: int) -> None:
        """Work until `stop` or cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(work(self._queue, self.look, self._metrics, _about))
        finally:
            self.stop()
            if self._rounds is not None:
                await self._rounds.close()

    def stop(self) -> None:
        """Finish the passes that are under way, start no other."""
        self._queue.close()

    async def resync(self, namespaces: list[str]) -> None:
        """List all Adapters and look at them; events that were lost cost no more than that. Raises ApiError."""
        watched: list[str | None] = [*namespaces]
        for namespace in watched or [None]:
            for adapter in (await self._client.list(ADAPTERS, namespace)).items:
                key = key_of(adapter)
                self.observe_adapter(adapter, is_deleted=False)
                self._queue.add(Look("Adapter", *key))
                if _concerns_engines(adapter):
                    self.observe_engines(key[0])

    async def look(self, look: Look) -> bool:
        """One pass; True if it changed anything. Raises ApiError."""
        if look.kind == "Engines":
            return await self._go_round(look)
        view = self._rounds.view(look.key) if self._rounds is not None else None
        observation = await self._cluster.observe(look.key, view)
        return False if observation is None else await self._carry_out(look, observation)

    async def _go_round(self, look: Look) -> bool:
        if self._rounds is None:
            self._rounds = Rounds(
                self._client,
                self._settings,
                self._clock,
                self._make_engines(),
                on_change=lambda key: self._queue.add(Look("Adapter", *key)),
                on_late=self.observe_engines,
            )
        seconds = await self._rounds.go_round(look.namespace)
        if seconds is not None:
            self._queue.add_after(look, seconds)
        return False

    async def _carry_out(self, look: Look, observation: AdapterObservation) -> bool:
        plan = reconcile_adapter(observation, self._clock(), self._settings)
        try:
            written = await self._cluster.apply(observation, plan)
        except RefusedError as error:
            observation = replace(observation, refusal=error.refusal)
            plan = reconcile_adapter(observation, self._clock(), self._settings)
            written = await self._cluster.apply(observation, plan)
        if written is not None:
            self._report(observation, {**written, "kind": "Adapter"})
        self._schedule(look, plan)
        return not plan.is_empty

    def _schedule(self, look: Look, plan: Plan) -> None:
        if not plan.is_empty:
            self._queue.add(look)
        elif plan.requeue_after_seconds is not None:
            self._queue.add_after(look, plan.requeue_after_seconds)

    def _report(self, observation: AdapterObservation, written: Manifest) -> None:
        before, after = observation.status, parse_adapter_status(written)
        if (before.phase, before.reason) == (after.phase, after.reason) or after.phase is None:
            return
        about = fields(written["metadata"], phase=after.phase.value, reason=after.reason)
        _log.info("adapter changed: %s", after.message or "", extra=about)
        if before.phase != after.phase:
            self._announcer.announce(written)


def build_engine_client() -> EngineCalls:
    """The real one; made when the first engine is called, because it brings aiohttp."""
    from fettle_client.engine import EngineClient

    return EngineClient()


def _concerns_engines(adapter: Manifest) -> bool:
    return has_finalizer(adapter) or bool(((adapter.get("spec") or {}).get("serving") or {}).get("load"))


def _fingerprints(adapter: Manifest) -> tuple[int, int]:
    """Of all that a pass depends on, and of what engines are asked for by."""
    metadata, status = adapter["metadata"], adapter.get("status") or {}
    asked = [metadata.get(name) for name in ("uid", "generation", "deletionTimestamp", "finalizers")]
    files = [status.get(name) for name in ("path", "digest", "verifiedAt")]
    judged = [(c["type"], c["status"]) for c in status.get("conditions") or [] if c["type"] != "Loaded"]
    return _hash([asked, status]), _hash([asked, files, judged])


def _hash(value: Any) -> int:
    return hash(json.dumps(value, sort_keys=True, default=str))


def _about(look: Look) -> dict[str, str]:
    return {"namespace": look.namespace, "name": look.name}
