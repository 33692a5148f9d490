"""Two replicas on a real API server, each behind a proxy of its own: the leader is killed, frozen in the middle of a
write that arrives late, or cut off, and the other goes on without doing anything twice.
"""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fettle_client.protocol import LEASES, NotFoundError
from fettle_operator.main import EXIT_LEADERSHIP_LOST
from tests.faults.cast import Cast
from tests.faults.history import violations
from tests.faults.operators import LEASE_SECONDS, Operator, operator_environment
from tests.faults.plan import Fault
from tests.faults.proxy import Faults, FaultyProxy, Write
from tests.faults.requests import Asked
from tests.faults.run import Stage, stage
from tests.support.operator_process import Namespace
from tests.support.polling import eventually

TAKEOVER_SECONDS = LEASE_SECONDS + 15.0
"""The lease, and what a busy machine adds."""
WRITES = {1: "accepted", 2: "its ConfigMap", 3: "its Job", 4: "running", 5: "its Adapter", 6: "published", 7: "the end"}
_SEED = 157
"""The run begins before the first look at it, and ends long after."""


class Line(Faults):
    """The line between one replica and the API server: cut off from a moment on, or from one write on."""

    def __init__(self, replicas: "Replicas", freezes_at: int | None) -> None:
        self.freezes_at = freezes_at
        self.is_silent = False
        self.frozen, self.late, self.arrived = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self._replicas = replicas

    async def of_request(self, request: Asked, ordinal: int) -> Fault | None:
        if self.is_silent:
            await asyncio.Event().wait()
        return None

    async def before(self, write: Write) -> None:
        """The process stops as soon as it has sent the write, and the write is under way until `late`."""
        if write.number == self.freezes_at and not self.frozen.is_set():
            self._replicas.freeze(self)
            self.frozen.set()
            await self.late.wait()

    async def after(self, write: Write) -> None:
        if write.number == self.freezes_at:
            self.arrived.set()


class Replicas:
    """Replicas in one namespace, whose user and kubelet follow a story."""

    def __init__(self, shared: Stage, namespace: str, folder: Path, stack: AsyncExitStack) -> None:
        self.cast = Cast(shared.client, namespace, {"a": "succeeds"}, _SEED)
        self._shared, self._namespace, self._folder, self._stack = shared, namespace, folder, stack
        self._operators: dict[Line, Operator] = {}
        shared.recorder.listen(namespace, self.cast.hear)

    async def start(self, freezes_at: int | None = None) -> Line:
        """One more replica, which leads if no other does."""
        line = Line(self, freezes_at)
        proxy = FaultyProxy(self._shared.server, line)
        await self._stack.enter_async_context(proxy.serve())
        number = len(self._operators)
        kubeconfig = self._shared.server.kubeconfig_for(proxy.url, self._folder / f"{number}.kubeconfig")
        environment = operator_environment(kubeconfig, self._namespace)
        self._operators[line] = await self._shared.nursery.start(environment, self._folder / f"{number}.log")
        return line

    def freeze(self, line: Line) -> None:
        os.kill(self._operators[line].pid, signal.SIGSTOP)

    def thaw(self, line: Line) -> None:
        os.kill(self._operators[line].pid, signal.SIGCONT)

    async def kill(self, line: Line) -> int:
        """SIGKILL, or the exit status of what has ended."""
        return await self._operators[line].kill()

    async def loses_leadership(self, line: Line) -> None:
        """A replica ends by itself, and says why."""
        async with asyncio.timeout(TAKEOVER_SECONDS):
            await self._operators[line].ended.wait()
        assert await self.kill(line) == EXIT_LEADERSHIP_LOST
        assert "exiting: leadership lost" in self.log()

    async def first_to_end(self, *lines: Line) -> Line:
        """Of some replicas the one that ends by itself."""

        async def ended() -> Line | None:
            return next((line for line in lines if self._operators[line].ended.is_set()), None)

        found = await eventually(ended, "one replica ends", within_seconds=TAKEOVER_SECONDS)
        assert found is not None
        return found

    async def leader_changes(self, from_holder: str = "") -> str:
        """The holder of the Lease, once it is another."""

        async def changed() -> str:
            try:
                lease = await self._shared.client.get(LEASES, "fettle-operator", self._namespace)
            except NotFoundError:
                return ""
            holder = str(lease["spec"].get("holderIdentity") or "")
            return "" if holder == from_holder else holder

        return await eventually(changed, "the Lease has another holder", within_seconds=TAKEOVER_SECONDS)

    async def ended(self) -> None:
        """All jobs have a verdict."""
        async with asyncio.timeout(90):
            await self.cast.ended.wait()

    async def problems(self) -> list[str]:
        """What must not have happened."""
        await self._shared.recorder.catch_up(self._namespace)
        return violations(self._shared.recorder.history(self._namespace), self.cast.expected)

    def log(self) -> str:
        return "\n".join(path.read_text() for path in sorted(self._folder.glob("*.log")))


@pytest.fixture
async def replicas(cluster: Path, namespace: str, tmp_path: Path) -> AsyncIterator[Replicas]:
    async with stage(cluster) as shared, AsyncExitStack() as stack:
        await Namespace(shared.client, namespace).make_claim()
        found = Replicas(shared, namespace, tmp_path, stack)
        async with asyncio.TaskGroup() as acts:
            play = acts.create_task(found.cast.play())
            yield found
            play.cancel()
        print(found.log()[-6000:])


@pytest.mark.parametrize(
    "write",
    [pytest.param(n, id=f"at {what}", marks=[] if n == 3 else pytest.mark.slow) for n, what in WRITES.items()],
)
async def test_a_leader_that_freezes_in_a_write_changes_nothing_when_it_thaws(replicas: Replicas, write: int) -> None:
    first = await replicas.start(freezes_at=write)
    holder = await replicas.leader_changes()
    await replicas.start()
    await replicas.cast.submit()
    async with asyncio.timeout(60):
        await first.frozen.wait()
    await replicas.leader_changes(holder)
    await replicas.ended()
    first.late.set()
    replicas.thaw(first)
    await replicas.loses_leadership(first)
    async with asyncio.timeout(60):
        await first.arrived.wait()
    assert await replicas.problems() == []


async def test_a_leader_that_hears_nothing_ends_and_the_other_goes_on(replicas: Replicas) -> None:
    first = await replicas.start()
    holder = await replicas.leader_changes()
    await replicas.start()
    await replicas.cast.submit()
    first.is_silent = True
    await replicas.loses_leadership(first)
    await replicas.leader_changes(holder)
    await replicas.ended()
    assert await replicas.problems() == []


@pytest.mark.slow
async def test_when_nobody_hears_anything_nobody_leads_and_afterwards_one_does(replicas: Replicas) -> None:
    first, second = await replicas.start(), await replicas.start()
    holder = await replicas.leader_changes()
    await replicas.cast.submit()
    first.is_silent = second.is_silent = True
    ended = await replicas.first_to_end(first, second)
    first.is_silent = second.is_silent = False
    await replicas.loses_leadership(ended)
    await replicas.leader_changes(holder)
    await replicas.ended()
    assert await replicas.problems() == []


@pytest.mark.slow
async def test_a_killed_leader_is_replaced_within_the_lease(replicas: Replicas) -> None:
    first = await replicas.start()
    holder = await replicas.leader_changes()
    await replicas.start()
    await replicas.cast.submit()
    await replicas.kill(first)
    await replicas.leader_changes(holder)
    await replicas.ended()
    assert await replicas.problems() == []
