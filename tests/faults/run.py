"""One seeded run: a namespace, an operator behind the proxy that dies and comes back, two jobs, and what it came to."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from fettle_client.kubernetes import KubernetesClient, connect
from tests.faults.cast import Cast
from tests.faults.history import violations
from tests.faults.operators import Nursery, Operator, nursery, operator_environment
from tests.faults.plan import Fault, Kill, Plan, WatchFault, plan
from tests.faults.proxy import Faults, FaultyProxy, Upstream, Write, upstream
from tests.faults.recorder import Recorder
from tests.faults.requests import Asked
from tests.faults.stories import FAILS_THEN_SUCCEEDS, STORIES
from tests.faults.watch_relay import CutError
from tests.support.api_server import NAMESPACES
from tests.support.operator_process import Namespace
from tests.support.polling import eventually

RUN_SECONDS = 240.0
"""Until then all jobs of a run must have a verdict."""
_LISTED = ("GET", "trainingjobs")


@dataclass
class Outcome:
    """What a run came to."""

    plan: Plan
    problems: list[str]
    killed: list[Kill] = field(default_factory=list)
    faults: Counter[str] = field(default_factory=Counter)
    log: str = ""

    def __str__(self) -> str:
        about = f"seed {self.plan.seed} ({self.plan.stories}, {len(self.killed)} kills, {dict(self.faults)})"
        return "\n".join([about, *(f"  {problem}" for problem in self.problems)])


class Stage:
    """What all runs share: one API server, one recorder, one nursery."""

    def __init__(self, client: KubernetesClient, recorder: Recorder, born: Nursery, server: Upstream) -> None:
        self.client, self.recorder, self.nursery, self.server = client, recorder, born, server


@asynccontextmanager
async def stage(kubeconfig: Path) -> AsyncIterator[Stage]:
    """On the API server of a kubeconfig, which has both CRDs."""
    client = await connect(str(kubeconfig))
    recorder = Recorder(client)
    try:
        async with nursery() as born, upstream(kubeconfig) as server, recorder.recording():
            yield Stage(client, recorder, born, server)
    finally:
        await client.close()


async def play_seeds(shared: Stage, seeds: list[int], folder: Path, at_once: int) -> list[Outcome]:
    """The outcomes of all seeds, some side by side."""
    turns = asyncio.Semaphore(at_once)

    async def in_turn(seed: int) -> Outcome:
        async with turns:
            return await play(shared, seed, folder)

    return await asyncio.gather(*(in_turn(seed) for seed in seeds))


async def play(shared: Stage, seed: int, folder: Path) -> Outcome:
    """One run, in a fresh namespace that is left to be removed."""
    chosen = plan(seed, tuple(STORIES), FAILS_THEN_SUCCEEDS)
    created = await shared.client.create(NAMESPACES, {"metadata": {"generateName": f"seed-{seed}-"}})
    namespace = created["metadata"]["name"]
    try:
        return await _Run(shared, chosen, namespace, folder).play()
    finally:
        await shared.client.delete(NAMESPACES, namespace, "")


class _Run(Faults):
    """The plan carried out; the proxy asks it about every request."""

    def __init__(self, shared: Stage, chosen: Plan, namespace: str, folder: Path) -> None:
        self._shared, self._plan, self._namespace = shared, chosen, namespace
        self._log = folder / f"{namespace}.log"
        self._proxy = FaultyProxy(shared.server, self)
        self._kubeconfig = folder / f"{namespace}.kubeconfig"
        self._cast = Cast(shared.client, namespace, chosen.stories, chosen.seed)
        self._left = list(chosen.kills)
        self._outcome = Outcome(chosen, [])
        self._operator: Operator | None = None

    async def play(self) -> Outcome:
        """Until all jobs have a verdict and a list after that has changed nothing, or until the time is over."""
        await self._prepare()
        async with self._proxy.serve():
            self._shared.server.kubeconfig_for(self._proxy.url, self._kubeconfig)
            operators = asyncio.create_task(self._keep_an_operator())
            try:
                async with asyncio.timeout(RUN_SECONDS):
                    await self._live()
            except TimeoutError:
                self._outcome.problems.append(f"not over after {RUN_SECONDS:.0f} s")
            finally:
                operators.cancel()
                with suppress(asyncio.CancelledError):
                    await operators
                await self._kill_operator()
        await self._shared.recorder.catch_up(self._namespace)
        return self._judged()

    async def _prepare(self) -> None:
        await Namespace(self._shared.client, self._namespace).make_claim()
        self._shared.recorder.listen(self._namespace, self._cast.hear)

    async def _live(self) -> None:
        async with asyncio.TaskGroup() as acts:
            play = acts.create_task(self._cast.play())
            if not self._plan.is_submitted_first:
                await self._lists(1)
            await self._cast.submit()
            await play
        await self._lists(self._proxy.asked[_LISTED] + 1)

    async def _lists(self, count: int) -> None:
        """Wait until the operator has listed all jobs so many times."""

        async def has_listed() -> bool:
            return self._proxy.asked[_LISTED] >= count

        await eventually(has_listed, f"the operator lists its jobs {count} times", within_seconds=RUN_SECONDS)

    async def _keep_an_operator(self) -> None:
        """What a Deployment does: there is one, and another as soon as it has ended."""
        while True:
            self._operator = await self._shared.nursery.start(self._environment, self._log)
            await self._operator.ended.wait()

    async def _kill_operator(self) -> None:
        if self._operator is not None:
            await self._operator.kill()

    @property
    def _environment(self) -> dict[str, str]:
        limit = self._plan.max_running
        queues = {} if limit is None else {"default": {"maxRunning": limit}}
        return operator_environment(self._kubeconfig, self._namespace) | {"FETTLE_QUEUES": json.dumps(queues)}

    # What the proxy asks.

    async def of_request(self, request: Asked, ordinal: int) -> Fault | None:
        """Leases are left alone: leadership is lost by the deaths of the plan."""
        return None if request.plural == "leases" else self._plan.fault(request.method, request.path, ordinal)

    async def of_watch(self, request: Asked, ordinal: int) -> WatchFault:
        return self._plan.watch_fault(request.path, ordinal)

    async def before(self, write: Write) -> None:
        await self._die(Kill(write.asked.job, write.number, "before"))

    async def after(self, write: Write) -> None:
        await self._die(Kill(write.asked.job, write.number, "after"))

    async def _die(self, kill: Kill) -> None:
        if kill not in self._left:
            return
        self._left.remove(kill)
        self._outcome.killed.append(kill)
        await self._kill_operator()
        raise CutError

    def _judged(self) -> Outcome:
        history = self._shared.recorder.history(self._namespace)
        self._outcome.problems += violations(history, self._cast.expected, self._plan.max_running)
        if self._log.exists():
            self._outcome.log = self._log.read_text()
        self._outcome.faults = self._proxy.faults_seen
        return self._outcome
