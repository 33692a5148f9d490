"""Operators in processes of their own, started in a moment, and ended by SIGKILL."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
LEASE_SECONDS = 2
_RESYNC_SECONDS = 4


def operator_environment(kubeconfig: Path, namespace: str) -> dict[str, str]:
    """The settings of an operator for one namespace, less patient than in an installation."""
    return {
        "KUBECONFIG": str(kubeconfig),
        "FETTLE_TRAINER_IMAGE": "fettle-trainer:test",
        "FETTLE_WATCH_NAMESPACES": namespace,
        "FETTLE_LEASE_NAMESPACE": namespace,
        "FETTLE_LEASE_DURATION_SECONDS": str(LEASE_SECONDS),
        "FETTLE_LEASE_RENEW_DEADLINE_SECONDS": "1.7",
        "FETTLE_LEASE_RETRY_SECONDS": "0.8",
        "FETTLE_RETRY_BACKOFF_SECONDS": "0",
        "FETTLE_RESYNC_SECONDS": str(_RESYNC_SECONDS),
        "FETTLE_HTTP_PORT": "0",
    }


class Operator:
    """One process. `ended` is set as soon as it has ended, however it did."""

    def __init__(self, nursery: "Nursery", pid: int) -> None:
        self.pid = pid
        self.ended = asyncio.Event()
        self._nursery = nursery
        self._turn = asyncio.Lock()
        self._exit_status: int | None = None
        self._descriptor = os.pidfd_open(pid)
        asyncio.get_running_loop().add_reader(self._descriptor, self._note_end)

    async def kill(self) -> int:
        """SIGKILL, unless it has ended by itself; its exit status. Two of its writes may ask for that at once."""
        async with self._turn:
            if self._exit_status is None:
                self._exit_status = await self._nursery.order({"kill": self.pid})
                self._note_end()
            return self._exit_status

    def _note_end(self) -> None:
        if not self.ended.is_set():
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self.ended.set()


class Nursery:
    """Where operators come from: a process that has imported everything and forks."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._turn = asyncio.Lock()

    async def start(self, environment: Mapping[str, str], log: Path) -> Operator:
        """A new operator, with these variables beside ours."""
        return Operator(self, await self.order({"start": dict(environment), "log": str(log)}))

    async def order(self, order: Mapping[str, object]) -> int:
        """One line there, one line back."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        async with self._turn:
            self._process.stdin.write(json.dumps(order).encode() + b"\n")
            answer = await self._process.stdout.readline()
        if not answer:
            raise RuntimeError("the process that forks operators has ended; its complaint is on standard error")
        return int(answer)


@asynccontextmanager
async def nursery() -> AsyncIterator[Nursery]:
    """All operators that came from it end with it."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.faults.operator_forks",
        env=environment,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Nursery(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
