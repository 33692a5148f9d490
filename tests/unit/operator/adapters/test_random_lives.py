"""Users, engines, examinations and operator act in any order, drawn from a seed: engines end with what is wanted."""

import random
from contextlib import suppress
from typing import Any

import pytest

from fettle_client.protocol import ADAPTERS, JOBS, ApiError, Manifest, UnavailableError
from fettle_operator.adapters.controller import Look
from tests.support.adapter_world import NAMESPACE, AdapterWorld, FakeEngine, adapter, report, served
from tests.support.fake_kubelet import DIGEST, OTHER_DIGEST
from tests.support.memory_client import Verb

SEEDS = range(40)
MORE_SEEDS = range(40, 340)
ACTS = 200
_LAST_ROUNDS = 60
_NAMES = ("a", "b")
_FILES = {"uploads/first": DIGEST, "uploads/second": OTHER_DIGEST}
_CHANGES = ("is ready", "is ready", "is not ready", "dies", "forgets", "is silent", "is full", "fails")
_VERBS: tuple[Verb, ...] = ("get", "list", "create", "apply_status", "patch", "delete")


class RandomLife:
    """Two Adapters, two engines, and all that happens to them; no deletion gives an engine up."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.world = AdapterWorld(engine_give_up_seconds=1e9)

    async def live(self) -> None:
        """Anything may happen."""
        operator = [self.looks] * 8
        others = [self.creates, self.edits, self.deletes, self.an_engine_changes, self.is_restarted, self.sleeps]
        acts = [*operator, *others, self.examines, self.examines, self.collects_orphans]
        for _ in range(ACTS):
            await self.draw.choice(acts)()

    async def end(self) -> None:
        """From here on nothing goes wrong any more."""
        for name in ("engine-0", "engine-1"):
            engine = self.world.start_engine(name)
            engine.is_silent, engine.refusal, engine.failing = False, None, set()
        for _ in range(_LAST_ROUNDS):
            self.world.advance(9)
            await self.collects_orphans()
            for name in _NAMES * 2:
                await self.world.controller.look(Look("Adapter", NAMESPACE, name))
            await self.world.controller.look(Look("Engines", NAMESPACE))
            await self.examines(is_good=True)

    @property
    def adapters(self) -> list[Manifest]:
        return self.world.client.items(ADAPTERS)

    @property
    def wanted(self) -> dict[str, str]:
        """Served name → path; of two Adapters with one name the older has it."""
        found: dict[str, str] = {}
        for item in sorted(self.adapters, key=lambda item: (item["metadata"]["creationTimestamp"], _uid(item))):
            if item["spec"]["serving"].get("load"):
                name = item["metadata"]["name"]
                found.setdefault(item["spec"].get("servedName") or name, served(name, _digest(item)))
        return found

    # The user.

    async def creates(self) -> None:
        free = sorted({*_NAMES} - {item["metadata"]["name"] for item in self.adapters})
        if free:
            spec: dict[str, Any] = {"source": {"workspace": {"path": "uploads/first"}}}
            spec |= {"serving": {"load": True}} if self.draw.random() < 0.6 else {}
            spec |= {"servedName": "shared"} if self.draw.random() < 0.2 else {}
            await self.world.client.create(ADAPTERS, adapter(self.draw.choice(free), **spec))

    async def edits(self) -> None:
        for item in self._one(self.adapters):
            name = item["metadata"]["name"]
            edit = self.draw.choice(("load", "load", "unload", "rename", "replace"))
            changes: dict[str, dict[str, Any]] = {
                "load": {"serving": {"load": True}},
                "unload": {"serving": {"load": False}},
                "rename": {"servedName": self.draw.choice((name, "shared", f"other-{name}"))},
                "replace": {"source": {"workspace": {"path": self.draw.choice(tuple(_FILES))}}},
            }
            await self.world.edit(name, **changes[edit])

    async def deletes(self) -> None:
        for item in self._one(self.adapters) if self.draw.random() < 0.4 else ():
            await self.world.delete(item["metadata"]["name"])

    # The cluster.

    async def examines(self, *, is_good: bool = False) -> None:
        """Pods that read files end."""
        for job in self.world.client.items(JOBS):
            item = self.world.client.item(ADAPTERS, job["metadata"]["labels"]["fettle.dev/adapter"], NAMESPACE)
            if (
                (job.get("status") or {}).get("conditions")
                or item is None
                or job["metadata"]["ownerReferences"][0]["uid"] != _uid(item)
            ):
                continue
            name, fate = item["metadata"]["name"], 0.0 if is_good else self.draw.random()
            if fate < 0.7:
                self.world.examined(report(name, _digest(item)), name)
            elif fate < 0.8:
                self.world.examined({"problem": {"reason": "DigestMismatch", "message": "changed"}}, name)
            elif fate < 0.9:
                self.world.examined(None, name, exit_code=self.draw.choice((1, 75, 137)))

    async def an_engine_changes(self) -> None:
        name = self.draw.choice(("engine-0", "engine-1"))
        match self.draw.choice(_CHANGES):
            case "is ready":
                self.world.start_engine(name)
            case "is not ready":
                self.world.start_engine(name, is_ready=False)
            case "dies":
                await self.world.kill_engine(name)
            case fault:
                self._hurt(self.world.start_engine(name), fault)

    def _hurt(self, engine: FakeEngine, fault: str) -> None:
        if fault == "forgets":
            engine.adapters.clear()
        elif fault == "is silent":
            engine.is_silent = not engine.is_silent
        elif fault == "is full":
            engine.refusal = None if engine.refusal else "full"
        else:
            engine.failing ^= {self.draw.choice(("a", "b", "shared"))}

    async def collects_orphans(self) -> None:
        self.world.client.collect_orphans()

    # The operator.

    async def looks(self) -> None:
        """One pass or round, that may fail at any call."""
        if self.draw.random() < 0.15:
            failure = UnavailableError(503, "ServiceUnavailable", "try later")
            self.world.client.fail_next(self.draw.choice(_VERBS), failure, after=self.draw.random() < 0.5)
        look = self.draw.choice((Look("Engines", NAMESPACE), *(Look("Adapter", NAMESPACE, name) for name in _NAMES)))
        with suppress(ApiError):
            await self.world.controller.look(look)
        self.world.client.forget_faults()

    async def is_restarted(self) -> None:
        if self.draw.random() < 0.3:
            self.world.new_controller()

    async def sleeps(self) -> None:
        self.world.advance(self.draw.choice((0.5, 2, 10, 70)))

    def _one(self, items: list[Manifest]) -> list[Manifest]:
        return [self.draw.choice(items)] if items else []


def _uid(item: Manifest) -> str:
    return str(item["metadata"]["uid"])


def _digest(item: Manifest) -> str:
    return _FILES[item["spec"]["source"]["workspace"]["path"]]


async def check(seed: int) -> None:
    life = RandomLife(seed)
    await life.live()
    await life.end()
    assert not [item for item in life.adapters if item["metadata"].get("deletionTimestamp")], f"seed {seed}"
    assert {item["status"]["digest"] for item in life.adapters} == {_digest(item) for item in life.adapters}
    for url, engine in life.world.engines.by_url.items():
        assert engine.adapters == life.wanted, f"seed {seed}, {url}"


@pytest.mark.parametrize("seed", SEEDS)
async def test_engines_end_with_what_is_wanted(seed: int) -> None:
    await check(seed)


@pytest.mark.slow
async def test_engines_end_with_what_is_wanted_for_more_seeds() -> None:
    for seed in MORE_SEEDS:
        await check(seed)
