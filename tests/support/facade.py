"""A facade for tests: the real application over a MemoryClient and a temporary workspace."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from fastapi import FastAPI

from fettle_api.app import DIALECTS, create_app
from fettle_api.files.workspace import Workspace
from fettle_api.jobs.logs import WorkspaceLogs
from fettle_api.settings import ApiSettings
from fettle_client.protocol import PODS, TRAINING_JOBS, Manifest, ResourceKind
from fettle_local.store import LocalClient
from fettle_schema.names import LABEL_ATTEMPT, LABEL_JOB_UID, job_directory, progress_audience
from fettle_schema.validation import KINDS, admit
from tests.support.memory_client import MemoryClient

NAMESPACE = "default"
OWN_AUDIENCE = "the API server"
"""What a token is for that is sent to the API server itself."""


class ReviewingClient(MemoryClient):
    """A MemoryClient whose API server also reviews tokens and rights.

    `tokens` maps a token to (audience, user), and `rights` a user's name to what they may do: `get trainingjobs/log`.
    """

    def __init__(self) -> None:
        super().__init__(admit=_admit)
        self.tokens: dict[str, tuple[str, dict[str, Any]]] = {}
        self.rights: dict[str, set[str]] = {}
        self.reviewed: list[Manifest] = []
        """The `spec` of each review."""

    async def create(self, kind: ResourceKind, manifest: Manifest, dry_run: bool = False) -> Manifest:
        if kind.kind not in ("TokenReview", "SubjectAccessReview"):
            return await super().create(kind, manifest, dry_run)
        await self._begin("create", kind, "", "")
        self.reviewed.append(manifest["spec"])
        review = self._who if kind.kind == "TokenReview" else self._whether
        return {**manifest, "status": review(manifest["spec"])}

    def _who(self, spec: Manifest) -> Manifest:
        audience, user = self.tokens.get(spec["token"], ("", {}))
        if audience not in spec.get("audiences", [OWN_AUDIENCE]):
            return {"authenticated": False, "error": "invalid bearer token"}
        return {"authenticated": True, "audiences": [audience], "user": user}

    def _whether(self, spec: Manifest) -> Manifest:
        wanted = spec["resourceAttributes"]
        resource = "/".join(filter(None, (wanted["resource"], wanted.get("subresource"))))
        is_here = (wanted["group"], wanted["namespace"]) == ("fettle.dev", NAMESPACE)
        return {"allowed": is_here and f"{wanted['verb']} {resource}" in self.rights.get(spec["user"], set())}


def _admit(kind: ResourceKind, manifest: Manifest, old: Manifest | None) -> Manifest:
    return admit(manifest, old) if kind.kind in KINDS else manifest


@dataclass
class Facade:
    """A running facade, and what a cluster would do to it."""

    app: FastAPI
    client: ReviewingClient
    root: Path
    namespace: str = NAMESPACE

    def caller(self, dialect: str | None = "ainode", **options: Any) -> httpx.AsyncClient:
        """A client of a dialect: of its own port if it has one; of the main port, without a prefix, for None."""
        prefix = next((one.prefix or "" for one in DIALECTS if one.name == dialect), "")
        app = self.app.state.ports[dialect] if dialect and not prefix else self.app
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=True)
        return httpx.AsyncClient(transport=transport, base_url=f"http://localhost:3000{prefix}", **options)

    async def set_status(self, name: str, **status: Any) -> None:
        """Write what operator and receiver would, and wait until the facade has seen it."""
        seen = asyncio.Event()
        self.app.state.store.subscribe(lambda changed: seen.set() if changed == name else None)
        self.client.set_status(TRAINING_JOBS, name, status, NAMESPACE)
        await asyncio.wait_for(seen.wait(), 5)

    def add_pod(self, name: str, job_uid: str, token: str, **changes: Any) -> None:
        """A pod of the first attempt of `demo` with its progress token; `changes` are of the token's user."""
        labels = {LABEL_JOB_UID: job_uid, LABEL_ATTEMPT: "1"}
        pod = self.client.seed(PODS, {"metadata": {"name": name, "namespace": NAMESPACE, "labels": labels}})
        extra = {
            "authentication.kubernetes.io/pod-name": [name],
            "authentication.kubernetes.io/pod-uid": [pod["metadata"]["uid"]],
        }
        user = {"username": f"system:serviceaccount:{NAMESPACE}:default", "extra": extra, **changes}
        self.client.tokens[token] = (progress_audience(NAMESPACE, "demo", 1), user)

    def job_path(self, name: str) -> Path:
        """The job's directory in the workspace, made if needed."""
        job = self.client.item(TRAINING_JOBS, name, NAMESPACE)
        assert job is not None
        path = self.root / job_directory(name, job["metadata"]["uid"])
        path.mkdir(parents=True, exist_ok=True)
        return path


@asynccontextmanager
async def running_facade(
    root: Path, store: str = "memory", client: Any = None, **settings: Any
) -> AsyncIterator[Facade]:
    """A facade whose watch runs, over a client in memory, over (`local`) that of one machine, or over `client`.

    `settings` are those of ApiSettings. What only the client in memory can do is not for tests over another one.
    """
    given = client
    if client is None:
        client = ReviewingClient() if store == "memory" else LocalClient(root.parent / "store.db")
    values: dict[str, Any] = {"namespace": NAMESPACE, "workspace": root, "default_gpus": 0, **settings}
    app = create_app(ApiSettings(**values), client, root, WorkspaceLogs(Workspace(root)))
    async with app.router.lifespan_context(app):
        yield Facade(app, client, root, values["namespace"])
    if given is None:
        await client.close()
