"""One real API server for the session, a fresh namespace for each test."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fettle_client.kubernetes import KubernetesClient, connect
from tests.support.api_server import NAMESPACES, api_server, install_crds

LOST_SOCKET = r"ignore:Exception ignored in. <(function _SelectorTransport\.__del__|socket\.socket fd=.*raddr=)"
"""asyncio loses the socket of a TLS connection that is cancelled before its protocol has heard of it: a watch that is
stopped as soon as it begins. aiohttp alone shows it in one of ten such cancellations."""


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.filterwarnings(LOST_SOCKET))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The kubeconfig of an API server that has both CRDs."""

    async def prepare(kubeconfig: Path) -> None:
        client = await connect(str(kubeconfig))
        try:
            await install_crds(client)
        finally:
            await client.close()

    with api_server(tmp_path_factory.mktemp("cluster")) as kubeconfig:
        asyncio.run(prepare(kubeconfig))
        yield kubeconfig


@pytest.fixture
async def client(cluster: Path) -> AsyncIterator[KubernetesClient]:
    client = await connect(str(cluster))
    yield client
    await client.close()


@pytest.fixture
async def namespace(client: KubernetesClient) -> AsyncIterator[str]:
    created = await client.create(NAMESPACES, {"metadata": {"generateName": "test-"}})
    name = created["metadata"]["name"]
    yield name
    await client.delete(NAMESPACES, name, "")
