"""Where the tables of the dialects are run in process: a facade for tests, whatever its client is."""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx

from fettle_client.protocol import ADAPTERS, TRAINING_JOBS, Manifest
from fettle_schema.names import ANNOTATION_ORIGINAL_ID, job_directory
from tests.support.facade import Facade
from tests.support.polling import eventually


class InProcessWorld:
    """A `tests.dialects.runner.World`."""

    def __init__(self, facade: Facade) -> None:
        self._facade = facade

    def caller(self, dialect: str) -> httpx.AsyncClient:
        return self._facade.caller(dialect)

    async def job_name(self, original_id: str) -> str:
        jobs = (await self._facade.client.list(TRAINING_JOBS, self._facade.namespace)).items
        (found,) = [job for job in jobs if _original_id(job) == original_id]
        return str(found["metadata"]["name"])

    async def set_status(self, name: str, status: Mapping[str, Any]) -> None:
        seen = asyncio.Event()
        self._facade.app.state.store.subscribe(lambda changed: seen.set() if changed == name else None)
        await self._facade.client.apply_status(
            TRAINING_JOBS, name, self._facade.namespace, dict(status), "fettle-operator"
        )
        await asyncio.wait_for(seen.wait(), 5)

    async def job_directory(self, name: str) -> str:
        job = await self._facade.client.get(TRAINING_JOBS, name, self._facade.namespace)
        return job_directory(name, job["metadata"]["uid"])

    async def add_adapter(self, name: str, spec: Mapping[str, Any], status: Mapping[str, Any]) -> None:
        client, namespace = self._facade.client, self._facade.namespace
        metadata = {"name": name, "namespace": namespace}
        manifest = {"apiVersion": ADAPTERS.api_version, "kind": ADAPTERS.kind, "metadata": metadata, "spec": dict(spec)}
        await client.create(ADAPTERS, manifest)
        await client.apply_status(ADAPTERS, name, namespace, dict(status), "fettle-operator")

        async def is_seen() -> bool:
            adapters = await self._facade.app.state.adapters.all()
            return any(adapter.name == name and adapter.status.phase for adapter in adapters)

        await eventually(is_seen, f"adapter {name}", 5, 0.01)

    def write(self, path: str, content: bytes) -> None:
        target = self._facade.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)

    def link(self, path: str, target: str) -> None:
        link = self._facade.root / path
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(target)


def _original_id(job: Manifest) -> str | None:
    annotations: dict[str, str] = job["metadata"].get("annotations") or {}
    return annotations.get(ANNOTATION_ORIGINAL_ID)
