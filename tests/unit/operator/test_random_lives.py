"""Users, cluster, watch and operator act in any order, drawn from a seed: no rule is broken, and every job ends."""

import random
from typing import Any

import pytest

from fettle_client.protocol import TRAINING_JOBS, ApiError, Manifest, UnavailableError
from tests.faults.history import FINISHED, Change, broken_rules
from tests.support.crashing_client import Crash, CrashingClient
from tests.support.fake_kubelet import NAMESPACE, World, settings
from tests.support.memory_client import Verb
from tests.support.random_cluster import RandomCluster

SEEDS = range(120)
MORE_SEEDS = range(120, 720)
ACTS = 240
_LAST_ROUNDS = 100
_VERBS: tuple[Verb, ...] = ("get", "list", "create", "apply_status", "delete")
_USUAL_FATES = {
    "Succeeded",
    "Cancelled",
    "PendingDeadlineExceeded",
    "LossNotFinite",
    "InfrastructureError",
    "NoProgress",
}
_QUEUES: tuple[dict[str, int], ...] = ({}, {"maxRunning": 1}, {"maxRunning": 2}, {"maxGpus": 2})
_SPECS: tuple[tuple[float, dict[str, Any]], ...] = (
    (0.3, {"resources": {"gpusPerNode": 0, "nodes": 2}}),
    (0.3, {"resources": {"gpusPerNode": 1}}),
    (0.1, {"resources": {"gpusPerNode": 1, "nodes": 2}}),
    (0.3, {"preflight": "always"}),
    (0.2, {"suspend": True}),
    (0.3, {"output": {"onConflict": "newVersion"}}),
)
_LIMITS: tuple[tuple[float, str, tuple[int, ...]], ...] = (
    (1.0, "maxRetries", (0, 1, 1)),
    (0.2, "activeDeadlineSeconds", (30, 300)),
    (0.2, "pendingDeadlineSeconds", (30, 300)),
    (0.2, "ttlSecondsAfterFinished", (50,)),
)
_EDITS: tuple[dict[str, Any], ...] = (
    {"suspend": True},
    {"suspend": False},
    {"suspend": False},
    {"scheduling": {"priority": "high"}},
    {"limits": {"maxRetries": 2}},
)


class RandomLife:
    """Up to three jobs in one queue, and all that happens to them."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        limits = self.draw.choice(_QUEUES)
        self.max_running = limits.get("maxRunning")
        backoff = self.draw.choice((0, 10))
        options = settings(retry_backoff_seconds=backoff, lost_pod_seconds=1e6, queues={"default": limits})
        self.world = World(options, client_class=CrashingClient)
        self.names = ["a", "b", "c"][: self.draw.choice((1, 2, 3))]
        self.cluster = RandomCluster(self.world, self.draw)
        self._untold: list[Manifest] = []

    async def live(self) -> None:
        """Anything may happen."""
        operator = [self.passes] * 8
        user = [self.submits, self.edits, self.deletes_or_cancels]
        acts = [*operator, *user, *self.cluster.acts, self.hears_late, self.is_restarted, self.sleeps]
        for name in self.names:
            await self.submit(name)
        for _ in range(ACTS):
            await self.draw.choice(acts)()

    async def end(self) -> None:
        """From here on nothing goes wrong any more: every job comes to its end."""
        for job in self.jobs:
            await self.edit(job, {"suspend": False})
        for _ in range(_LAST_ROUNDS):
            self.world.advance(20)
            for job in self.jobs:
                self.world.controller.observe_event("MODIFIED", job)
            for name in self.names * 3:  # of jobs that are gone too: the periodic list finds them
                await self.world.controller.reconcile_once((NAMESPACE, name))
            await self.cluster.lets_all_succeed()
            if all(_phase(job) in FINISHED for job in self.jobs):
                return

    @property
    def jobs(self) -> list[Manifest]:
        return self.world.client.items(TRAINING_JOBS)

    @property
    def history(self) -> list[Change]:
        return [Change(change.type, change.kind.kind, change.after) for change in self.world.client.history]

    # The user.

    async def submits(self) -> None:
        free = sorted({*self.names} - {job["metadata"]["name"] for job in self.jobs})
        if free:
            await self.submit(self.draw.choice(free))

    async def submit(self, name: str) -> None:
        spec: dict[str, Any] = {"limits": {}}
        for chance, part in _SPECS:
            spec |= part if self.draw.random() < chance else {}
        for chance, limit, values in _LIMITS:
            spec["limits"] |= {limit: self.draw.choice(values)} if self.draw.random() < chance else {}
        await self.world.submit(name, **spec)

    async def edits(self) -> None:
        for job in self._one():
            await self.edit(job, self.draw.choice(_EDITS))

    async def deletes_or_cancels(self) -> None:
        for job in self._one() if self.draw.random() < 0.3 else ():
            if self.draw.random() < 0.5:
                await self.edit(job, {"cancel": True})
            else:
                await self.world.client.delete(TRAINING_JOBS, job["metadata"]["name"], NAMESPACE)
                if self.draw.random() < 0.7:
                    self.world.controller.observe_event("DELETED", job)

    async def edit(self, job: Manifest, spec: dict[str, Any]) -> None:
        changed = await self.world.client.patch(TRAINING_JOBS, job["metadata"]["name"], NAMESPACE, {"spec": spec})
        if self.draw.random() < 0.7:
            self.world.controller.observe_event("MODIFIED", changed)
        else:
            self._untold.append(changed)

    # The operator and what it hears.

    async def passes(self) -> None:
        """One pass, that may fail at any call or be the operator's last."""
        client, mishap = self.world.client, self.draw.random()
        assert isinstance(client, CrashingClient)
        if mishap < 0.1:
            client.dies_at, client.dies_before = client.writes + self.draw.choice((1, 2, 3)), self.draw.random() < 0.5
        elif mishap < 0.2:
            verb = self.draw.choice(_VERBS)
            client.fail_next(verb, UnavailableError(503, "ServiceUnavailable", "try later"), after=mishap < 0.15)
        try:
            await self.world.controller.reconcile_once((NAMESPACE, self.draw.choice(self.names)))
        except Crash:
            await self.is_restarted()
        except ApiError:
            pass
        client.dies_at = 0
        client.forget_faults()
        for job in self.jobs:
            if self.draw.random() < 0.8:
                self.world.controller.observe_event("MODIFIED", job)

    async def hears_late(self) -> None:
        """Of a version that is not the newest; of jobs that are gone nothing more is told."""
        living = {job["metadata"]["uid"] for job in self.jobs}
        self._untold = [job for job in self._untold if job["metadata"]["uid"] in living]
        if self._untold:
            self.world.controller.observe_event("MODIFIED", self._untold.pop())

    async def is_restarted(self) -> None:
        self._untold.clear()
        self.world.new_controller()

    async def sleeps(self) -> None:
        self.world.advance(self.draw.choice((0.1, 1, 5, 20, 60)))

    def _one(self) -> list[Manifest]:
        return [self.draw.choice(self.jobs)] if self.jobs else []


def _phase(job: Manifest) -> str | None:
    return (job.get("status") or {}).get("phase")


async def lived(seed: int) -> RandomLife:
    """A life to its end, in which no rule was broken."""
    life = RandomLife(seed)
    await life.live()
    await life.end()
    unfinished = {job["metadata"]["name"]: job.get("status") for job in life.jobs if _phase(job) not in FINISHED}
    assert not unfinished, f"seed {seed}"
    uids = {f"{c.name} {c.uid}": c.uid for c in life.history if c.kind == "TrainingJob" and c.type == "ADDED"}
    assert broken_rules(life.history, uids, life.max_running) == [], f"seed {seed}"
    return life


@pytest.mark.parametrize("seed", SEEDS)
async def test_no_rule_is_broken_and_every_job_ends(seed: int) -> None:
    await lived(seed)


@pytest.mark.slow
async def test_the_same_for_more_seeds_in_which_all_usual_fates_are_met() -> None:
    fates: set[str] = set()
    for seed in MORE_SEEDS:
        life = await lived(seed)
        ends = [change.manifest["status"] for change in life.history if _phase(change.manifest) in FINISHED]
        fates |= {str(status["reason"]) for status in ends if "completionTime" in status}
    assert fates >= _USUAL_FATES
