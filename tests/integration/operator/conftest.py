"""The operator as a process on a real API server, and a namespace with the workspace claim."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fettle_client.kubernetes import KubernetesClient
from tests.support.operator_process import Namespace, OperatorProcesses


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
