"""One visit to one engine pod: ask once what it has, then load and unload what is decided. All I/O, no rules."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

from fettle_client.protocol import Manifest
from fettle_operator.logs import fields
from fettle_operator.serving.backoff import Backoff
from fettle_operator.serving.candidates import Candidate
from fettle_operator.serving.decisions import Action, Listing, Load, decide
from fettle_operator.serving.keys import MissingKeyError, read_key
from fettle_operator.serving.memory import PodMemory
from fettle_operator.serving.views import Problem
from fettle_operator.settings import OperatorSettings
from fettle_schema.errors import FettleError
from fettle_schema.reasons import Reason

_log = logging.getLogger(__name__)


class EngineCalls(Protocol):
    """What is used of fettle_client.engine.EngineClient."""

    async def models(self, url: str, key: str | None) -> list[dict[str, Any]]:
        """What an engine lists."""
        ...

    async def load(self, url: str, key: str | None, name: str, path: str, *, replaces: bool) -> None:
        """Load an adapter, or another version in its place."""
        ...

    async def unload(self, url: str, key: str | None, name: str) -> None:
        """Unload it."""
        ...

    async def close(self) -> None:
        """Release connections."""
        ...


class Visits:
    """Visits to any pod; each pod is visited by one at a time."""

    def __init__(self, engines: EngineCalls, settings: OperatorSettings, now: Callable[[], float]) -> None:
        self.backoff = Backoff()
        self._engines, self._settings, self._now = engines, settings, now

    async def visit(self, memory: PodMemory, candidates: Sequence[Candidate]) -> None:
        """Bring one pod to what the candidates want of it; what goes wrong is remembered, never raised."""
        pod = memory.pod
        try:
            listing = listing_of(await self._engines.models(pod.url, self._any_key(candidates)))
            decisions = decide(
                pod, listing, candidates, self._settings.engine_workspace, self._settings.engine_max_lora_rank
            )
            for action in decisions.actions:
                problem, listing = await self._act(memory, listing, action)
                if problem is not None:
                    decisions.problems[action.candidate.uid] = problem
        except FettleError as error:
            memory.silence, memory.is_known = Problem(Reason.ENGINE_UNREACHABLE, str(error)), False
            self.backoff.failed(pod.incarnation, self._now())
            _log.warning("engine does not answer: %s", error, extra=_about(memory, candidates))
            return
        memory.listing, memory.is_known, memory.silence = listing, True, None
        memory.problems = decisions.problems
        self.backoff.succeeded(pod.incarnation)

    async def _act(self, memory: PodMemory, listing: Listing, action: Action) -> tuple[Problem | None, Listing]:
        """Do it, unless it has just failed; what went wrong, and what the pod has then."""
        from fettle_client.engine import (  # brings aiohttp, which one machine does without
            EngineFailedError,
            EngineRefusesError,
        )

        one, pod = action.candidate, memory.pod
        name = one.served_name if isinstance(action, Load) else action.name
        attempt = (*pod.incarnation, one.uid, one.path, name, type(action).__name__)
        if self.backoff.is_waiting(attempt, self._now()):
            return memory.problems.get(one.uid), listing
        verb = type(action).__name__.lower()
        try:
            key = self._key(one)
            if isinstance(action, Load):
                await self._engines.load(pod.url, key, name, one.path, replaces=action.replaces)
            else:
                await self._engines.unload(pod.url, key, name)
        except MissingKeyError as error:
            return Problem(Reason.KEY_MISSING, str(error)), listing
        except (EngineRefusesError, EngineFailedError) as error:
            self.backoff.failed(attempt, self._now())
            _log.warning("engine refuses to %s: %s", verb, error, extra=_about(memory, [one]))
            return Problem(Reason.ENGINE_REFUSED, str(error)), listing
        self.backoff.succeeded(attempt)
        _log.info("engine did %s %r", verb, name, extra=_about(memory, [one]))
        others = {other: path for other, path in listing.adapters.items() if other != name}
        loaded = {name: one.path} if isinstance(action, Load) else {}
        return None, replace(listing, adapters={**others, **loaded})

    def _key(self, one: Candidate) -> str | None:
        settings = self._settings
        return read_key(settings.engine_keys_directory, one.key[0], one.api_key_name, settings.engine_key_name)

    def _any_key(self, candidates: Sequence[Candidate]) -> str | None:
        """The key by which a pod is asked what it has: the first that is there."""
        for one in candidates:
            try:
                key = self._key(one)
            except MissingKeyError:
                continue
            if key is not None:
                return key
        return None


def listing_of(models: list[dict[str, Any]]) -> Listing:
    """Models with a parent are adapters; `root` is the path."""
    bases = [model for model in models if not model.get("parent")]
    ranks = [model["max_lora_rank"] for model in bases if isinstance(model.get("max_lora_rank"), int)]
    return Listing(
        adapters={str(model.get("id")): str(model.get("root") or "") for model in models if model.get("parent")},
        bases=tuple((str(model.get("id")), str(model.get("root") or "")) for model in bases),
        max_rank=ranks[0] if ranks else None,
    )


def _about(memory: PodMemory, candidates: Sequence[Candidate]) -> Manifest:
    namespace, name = candidates[0].key if candidates else ("", "")
    return fields({"namespace": namespace, "name": name}, pod=memory.pod.name)
