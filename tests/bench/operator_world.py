"""What `make bench-operator` measures with: the operator as a process of its own, and jobs by the thousand."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from pathlib import Path

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import CLAIMS, JOBS, Manifest, ResourceClient, ResourceKind, WatchEvent
from tests.bench.facade_process import ServerProcess, free_port, server_process
from tests.support.api_server import NAMESPACES

_AT_ONCE = 24


@contextmanager
def operator(kubeconfig: Path, log: Path, namespace: str, **settings: str) -> Iterator[ServerProcess]:
    """`python -m fettle_operator` with its default settings; `url` is where its health is asked for."""
    port = free_port()
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        "KUBECONFIG": str(kubeconfig),
        "FETTLE_TRAINER_IMAGE": "fettle-trainer:bench",
        "FETTLE_WATCH_NAMESPACES": namespace,
        "FETTLE_LEASE_NAMESPACE": namespace,
        "FETTLE_HTTP_PORT": str(port),
        **settings,
    }
    with server_process("fettle_operator", [], environment, port, log) as process:
        yield process


async def new_namespace(client: KubernetesClient) -> str:
    """With the workspace claim."""
    created = await client.create(NAMESPACES, {"metadata": {"generateName": "bench-"}})
    namespace = str(created["metadata"]["name"])
    await make_claim(client, namespace)
    return namespace


async def make_claim(client: KubernetesClient, namespace: str) -> None:
    """The workspace, without which no job starts."""
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    await client.create(CLAIMS, {"metadata": {"name": "fettle-workspace", "namespace": namespace}, "spec": spec})


async def each(numbers: Iterable[int], act: Callable[[int], Awaitable[object]]) -> None:
    """`act` on all numbers, some at a time."""
    left = iter(numbers)

    async def some() -> None:
        for number in left:
            await act(number)

    async with asyncio.TaskGroup() as workers:
        for _ in range(_AT_ONCE):
            workers.create_task(some())


async def create_all(client: ResourceClient, kind: ResourceKind, manifests: list[Manifest]) -> None:
    """Create many, some at a time."""

    async def create(number: int) -> None:
        await client.create(kind, manifests[number])

    await each(range(len(manifests)), create)


class Arrivals:
    """When the Jobs of a namespace came into being, by the monotonic clock of who watches."""

    def __init__(self) -> None:
        self.times: dict[str, float] = {}
        self._news = asyncio.Event()

    async def all(self, count: int, within_seconds: float) -> float:
        """The time at which there were `count`."""
        async with asyncio.timeout(within_seconds):
            while len(self.times) < count:
                self._news.clear()
                await self._news.wait()
        return sorted(self.times.values())[count - 1]

    async def watch(self, client: ResourceClient, namespace: str) -> None:
        """Until cancelled."""
        async with aclosing(client.observe(JOBS, namespace)) as events:  # type: ignore[type-var]
            async for event in events:
                if isinstance(event, WatchEvent) and event.type == "ADDED":
                    self.times.setdefault(event.manifest["metadata"]["name"], time.monotonic())
                    self._news.set()


@asynccontextmanager
async def arrivals(client: ResourceClient, namespace: str) -> AsyncIterator[Arrivals]:
    """Watching while inside."""
    found = Arrivals()
    watch = asyncio.create_task(found.watch(client, namespace))
    try:
        yield found
    finally:
        watch.cancel()
        await asyncio.gather(watch, return_exceptions=True)
