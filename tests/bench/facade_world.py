"""The API server that `make bench-facade` measures on: written to, asked directly, and its own counts read."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle_client.connection import Connection, Request, Timeouts, load_configuration
from fettle_client.kubernetes import KubernetesClient
from fettle_client.paths import collection_path
from fettle_client.protocol import TRAINING_JOBS
from fettle_client.retry import RetryPolicy
from tests.support.api_server import NAMESPACES, install_crds

_REQUESTS = re.compile(r"^apiserver_request_total\{(.*)\} (\S+)$", re.MULTILINE)


@dataclass(frozen=True)
class World:
    """The API server, and a namespace for the jobs."""

    client: KubernetesClient
    connection: Connection
    kubeconfig: Path
    workspace: Path
    namespace: str
    server_url: str
    headers: dict[str, str]
    authority: str
    """File of the certificate that its own is signed with."""

    async def list_requests(self) -> int:
        """How often TrainingJobs were listed, by whomever, as the API server counts."""
        return count_requests(await self.metrics(), "LIST", TRAINING_JOBS.plural)

    async def metrics(self) -> str:
        """What the API server counts."""
        async with self.connection.open(Request("GET", "/metrics")) as answer:
            return await answer.text()

    def direct_plan(self, path: str) -> dict[str, Any]:
        """For the load generator: the API server itself; `path` is below the collection of the jobs."""
        url = f"{self.server_url}{collection_path(TRAINING_JOBS, self.namespace)}{path}"
        return {"urls": [url], "headers": self.headers, "authority": self.authority}


@asynccontextmanager
async def world(kubeconfig: Path, workspace: Path) -> AsyncIterator[World]:
    """An API server with both CRDs and a fresh namespace."""

    async def load() -> Any:
        return await load_configuration(str(kubeconfig), None)

    configuration = await load()
    connection = Connection(configuration, load, RetryPolicy(), Timeouts(), "fettle-bench")
    client = KubernetesClient(connection)
    try:
        await install_crds(client)
        created = await client.create(NAMESPACES, {"metadata": {"generateName": "bench-"}})
        headers = {"Authorization": await configuration.get_api_key_with_prefix("BearerToken")}
        yield World(
            client,
            connection,
            kubeconfig,
            workspace,
            created["metadata"]["name"],
            configuration.host,
            headers,
            configuration.ssl_ca_cert,
        )
    finally:
        await client.close()


def count_requests(metrics: str, verb: str, resource: str) -> int:
    """The sum of `apiserver_request_total` of a verb and a resource."""
    wanted = (f'verb="{verb}"', f'resource="{resource}"')
    found = ((labels.split(","), value) for labels, value in _REQUESTS.findall(metrics))
    return round(sum(float(value) for labels, value in found if all(label in labels for label in wanted)))
