"""The operator as a process on a real API server, and a namespace with the workspace claim."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fettle_client.kubernetes import KubernetesClient, connect
from tests.support.api_server import NAMESPACES
from tests.support.operator_process import Namespace, OperatorProcesses


@contextmanager
def operated_namespace(cluster: Path, folder: Path, **settings: str) -> Iterator[str]:
    """The name of a fresh namespace with the claim, whose jobs one operator runs for all tests of a module."""
    name = asyncio.run(_make_namespace(cluster))
    processes = OperatorProcesses(cluster, name, folder / "operator.log", **settings)
    processes.start()
    try:
        yield name
    finally:
        processes.stop_all()
        print(processes.log[-8000:])


async def _make_namespace(cluster: Path) -> str:
    client = await connect(str(cluster))
    try:
        created = await client.create(NAMESPACES, {"metadata": {"generateName": "test-"}})
        name = str(created["metadata"]["name"])
        await Namespace(client, name).make_claim()
        return name
    finally:
        await client.close()


@pytest.fixture
def processes(cluster: Path, namespace: str, tmp_path: Path) -> Iterator[OperatorProcesses]:
    processes = OperatorProcesses(cluster, namespace, tmp_path / "operator.log")
    yield processes
    processes.stop_all()
    print(processes.log[-8000:])


@pytest.fixture
async def world(client: KubernetesClient, namespace: str) -> Namespace:
    world = Namespace(client, namespace)
    await world.make_claim()
    return world
