"""A round over the engines of one namespace: which pods there are, who wants what of them, and a visit to each.

Visits run side by side; one that takes long does not hold the others up. All I/O, no rules.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

from fettle_client.protocol import ADAPTERS, PODS, ResourceClient
from fettle_operator.children import find
from fettle_operator.plan import Key, Manifest
from fettle_operator.serving.candidates import Candidate, Wish, candidate
from fettle_operator.serving.memory import NamespaceMemory, PodKey
from fettle_operator.serving.pods import EnginePod, engine_pod, may_hold_adapters
from fettle_operator.serving.views import ServingView
from fettle_operator.serving.visits import EngineCalls, Visits
from fettle_operator.settings import OperatorSettings

_log = logging.getLogger(__name__)


@dataclass
class _Census:
    """Who concerns which pod in this round."""

    pods: dict[PodKey, EnginePod] = field(default_factory=dict)
    wishes: dict[PodKey, list[Candidate]] = field(default_factory=dict)
    of_candidate: dict[Key, list[EnginePod]] = field(default_factory=dict)

    def add(self, pod: Manifest, one: Candidate) -> None:
        if may_hold_adapters(pod):
            seen = engine_pod(pod, one.port)
            self.pods[seen.key] = seen
            self.wishes.setdefault(seen.key, []).append(one)
            self.of_candidate.setdefault(one.key, []).append(seen)


class Rounds:
    """Everything that is known of engines; `on_change` hears of Adapters whose view has changed."""

    def __init__(
        self,
        client: ResourceClient,
        settings: OperatorSettings,
        clock: Callable[[], datetime],
        engines: EngineCalls,
        on_change: Callable[[Key], None],
        on_late: Callable[[str], None],
    ) -> None:
        self._client, self._settings, self._clock = client, settings, clock
        self._engines, self._on_change, self._on_late = engines, on_change, on_late
        self._visits = Visits(engines, settings, lambda: clock().timestamp())
        self._namespaces: dict[str, NamespaceMemory] = {}

    def view(self, key: Key) -> ServingView | None:
        """What engines have of an Adapter; None if they were not asked since it concerns them."""
        memory = self._namespaces.get(key[0])
        return memory.views.get(key) if memory else None

    async def go_round(self, namespace: str) -> float | None:
        """One round; when the next is due, None if nobody needs one. Raises ApiError."""
        listed = await self._client.list(ADAPTERS, namespace)
        now = self._clock()
        found = [candidate(adapter, now, self._settings) for adapter in listed.items]
        candidates = [one for one in found if one is not None]
        memory = self._namespaces.setdefault(namespace, NamespaceMemory())
        census = await self._take_census(namespace, candidates)
        memory.see(list(census.pods.values()))
        await self._visit_all(namespace, memory, census)
        views = {one.key: memory.view(one, census.of_candidate.get(one.key, [])) for one in candidates}
        changed = [key for key, view in views.items() if memory.views.get(key) != view]
        memory.views = views
        for key in changed:
            self._on_change(key)
        if not candidates:
            self._namespaces.pop(namespace, None)
        alive = {uid for memory in self._namespaces.values() for uid, _ in memory.pods}
        self._visits.backoff.keep(lambda key: key[0] in alive)
        return self._settings.engine_check_seconds if candidates else None

    async def close(self) -> None:
        """End the visits that are under way."""
        for memory in self._namespaces.values():
            memory.see([])
        await self._engines.close()

    async def _take_census(self, namespace: str, candidates: list[Candidate]) -> _Census:
        census, by_selector = _Census(), dict[str, list[Manifest]]()
        for one in candidates:
            if one.selector not in by_selector:
                by_selector[one.selector] = (await self._client.list(PODS, namespace, one.selector)).items
            selected = by_selector[one.selector]
            for pod in selected:
                census.add(pod, one)
            for pod in await self._left_behind(one, {pod["metadata"]["uid"] for pod in selected}):
                census.add(pod, replace(one, wish=Wish.UNLOAD))
        return census

    async def _left_behind(self, one: Candidate, selected: set[str]) -> list[Manifest]:
        """Pods that had it and are not selected any more, but still there."""
        missing = {uid: name for uid, name in one.seen_names.items() if uid not in selected}
        found = [await find(self._client, PODS, name, one.key[0]) for name in missing.values()]
        return [pod for pod in found if pod is not None and pod["metadata"]["uid"] in missing]

    async def _visit_all(self, namespace: str, memory: NamespaceMemory, census: _Census) -> None:
        now, started = self._clock().timestamp(), list[asyncio.Task[None]]()
        for key, wishes in census.wishes.items():
            known = memory.pods[key]
            is_left_alone = self._visits.backoff.is_waiting(known.pod.incarnation, now)
            if known.pod.is_ready and not known.is_visited and not is_left_alone:
                known.visit = asyncio.create_task(self._visits.visit(known, wishes), name=f"visit {known.pod.name}")
                known.visit.add_done_callback(_report)
                started.append(known.visit)
        if not started:
            return
        _, late = await asyncio.wait(started, timeout=self._settings.engine_check_seconds)
        for visit in late:
            visit.add_done_callback(lambda _: self._on_late(namespace))


def _report(visit: "asyncio.Task[None]") -> None:
    if not visit.cancelled() and visit.exception() is not None:
        _log.error("%s failed", visit.get_name(), exc_info=visit.exception())
