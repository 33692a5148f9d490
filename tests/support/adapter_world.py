"""Adapters, the pod that examines their files, and engine pods in the hands of a test, over a MemoryClient.

The controller is driven one pass at a time; engines are dictionaries behind the port that the real client implements.
"""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from fettle_client.engine import EngineFailedError, EngineRefusesError, EngineSilentError
from fettle_client.protocol import ADAPTERS, CLAIMS, JOBS, PODS, Manifest, ResourceKind
from fettle_operator.adapters.controller import AdapterController, Look
from fettle_operator.announcer import Announcer
from fettle_operator.metrics import Metrics
from fettle_operator.settings import OperatorSettings
from fettle_schema.layout import ADAPTERS as ADAPTERS_DIRECTORY
from fettle_schema.layout import artifact_directory
from fettle_schema.names import ENGINE_LABELS
from fettle_schema.validation import admit
from tests.support.fake_kubelet import DIGEST, NAMESPACE, OTHER_DIGEST, settings
from tests.support.memory_client import MemoryClient

ENGINE_BASE = {"id": "tiny", "root": "/workspace/models/tiny", "parent": None}


def adapter(name: str = "demo", **spec: Any) -> Manifest:
    """A small valid Adapter, registered from the workspace."""
    return {
        "apiVersion": "fettle.dev/v1alpha1",
        "kind": "Adapter",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {"baseModel": {"id": "models/tiny"}, "source": {"workspace": {"path": f"uploads/{name}"}}, **spec},
    }


def place(name: str = "demo", digest: str = DIGEST) -> str:
    """Where a version lies, inside the workspace."""
    return artifact_directory(ADAPTERS_DIRECTORY, name, digest)


def served(name: str = "demo", digest: str = DIGEST) -> str:
    """The same, as engines spell it."""
    return f"/workspace/{place(name, digest)}"


def report(name: str = "demo", digest: str = DIGEST, **changes: Any) -> Manifest:
    """What an examination finds of good files."""
    fits = {"reason": "Fits", "message": "all 2 layers fit 'models/tiny'"}
    found = {"path": place(name, digest), "digest": digest, "sizeBytes": 1024, "rank": 8, "targetModules": ["q_proj"]}
    return {**found, "compatibility": fits, **changes}


@dataclass
class FakeEngine:
    """One engine, by its protocol."""

    adapters: dict[str, str] = field(default_factory=dict)
    base: Manifest = field(default_factory=lambda: dict(ENGINE_BASE))
    refusal: str | None = None
    failing: set[str] = field(default_factory=set)
    """Names that it fails to load."""
    is_silent: bool = False
    gate: asyncio.Event | None = None
    """Loading takes until it is set."""
    list_calls: int = 0
    changes: list[tuple[str, str, str]] = field(default_factory=list)
    """What was asked of it: load, replace or unload, name, path."""
    keys: set[str | None] = field(default_factory=set)


class FakeEngines:
    """The port to engines, by their addresses."""

    def __init__(self) -> None:
        self.by_url: dict[str, FakeEngine] = {}

    async def models(self, url: str, key: str | None) -> list[dict[str, Any]]:
        engine = self._find(url, key)
        engine.list_calls += 1
        served = [{"id": name, "root": path, "parent": "tiny"} for name, path in engine.adapters.items()]
        return [engine.base, *served]

    async def load(self, url: str, key: str | None, name: str, path: str, *, replaces: bool) -> None:
        engine = self._find(url, key)
        engine.changes.append(("replace" if replaces else "load", name, path))
        if engine.gate is not None:
            await engine.gate.wait()
        if engine.refusal is not None:
            raise EngineRefusesError(engine.refusal)
        if name in engine.failing:
            raise EngineFailedError(f"the engine answers 500: {name} cannot be loaded")
        assert replaces == (name in engine.adapters), "an engine refuses what is loaded already"
        engine.adapters[name] = path

    async def unload(self, url: str, key: str | None, name: str) -> None:
        engine = self._find(url, key)
        engine.changes.append(("unload", name, ""))
        engine.adapters.pop(name, None)

    async def close(self) -> None:
        pass

    def _find(self, url: str, key: str | None) -> FakeEngine:
        engine = self.by_url.get(url)
        if engine is None or engine.is_silent:
            raise EngineSilentError("the engine cannot be reached: ClientConnectorError")
        engine.keys.add(key)
        return engine


class AdapterWorld:
    """One namespace and a clock that stands still."""

    def __init__(self, has_claim: bool = True, **changes: Any) -> None:
        self.now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
        self.client = MemoryClient(clock=lambda: self.now, admit=_admit)
        self.settings: OperatorSettings = settings(**changes)
        self.engines = FakeEngines()
        self.announcer = Announcer(self.client, lambda: self.now, is_enabled=True, is_busy=lambda: False)
        self.controller = self.new_controller()
        if has_claim:
            self.client.seed(CLAIMS, {"metadata": {"name": "fettle-workspace", "namespace": NAMESPACE}})

    def new_controller(self) -> AdapterController:
        """What a restart of the operator makes."""
        self.controller = AdapterController(
            self.client, self.settings, lambda: self.now, Metrics(), lambda: self.engines, self.announcer
        )
        return self.controller

    async def create(self, name: str = "demo", **spec: Any) -> None:
        await self.client.create(ADAPTERS, adapter(name, **spec))

    async def edit(self, name: str = "demo", **spec: Any) -> None:
        """What `kubectl patch` does."""
        await self.client.patch(ADAPTERS, name, NAMESPACE, {"spec": spec})

    async def delete(self, name: str = "demo") -> None:
        await self.client.delete(ADAPTERS, name, NAMESPACE)

    async def settle(self) -> None:
        """Passes and rounds until nothing changes; an Adapter that never comes to rest is a bug."""
        for _ in range(20):
            changed = False
            for item in self.client.items(ADAPTERS):
                changed |= await self.controller.look(Look("Adapter", NAMESPACE, item["metadata"]["name"]))
            if self.settings.loads_adapters:
                await self.controller.look(Look("Engines", NAMESPACE))
                for item in self.client.items(ADAPTERS):
                    changed |= await self.controller.look(Look("Adapter", NAMESPACE, item["metadata"]["name"]))
            if not changed:
                await self.announcer.post_all()
                return
        raise AssertionError("the Adapters do not come to rest")

    async def ready(self, name: str = "demo", digest: str = DIGEST, **spec: Any) -> None:
        """An Adapter whose files were examined."""
        await self.create(name, **spec)
        await self.settle()
        self.examined(report(name, digest), name)
        await self.settle()

    async def load(self, name: str = "demo", digest: str = DIGEST) -> None:
        """What `kubectl patch` does to have it loaded; the files are read again, and are as they were."""
        await self.edit(name, serving={"load": True})
        await self.settle()
        self.examined(report(name, digest), name)
        await self.settle()

    async def loaded(self, name: str = "demo", **spec: Any) -> None:
        """The same, in all engines."""
        await self.ready(name, serving={"load": True}, **spec)
        assert self.phase(name) == "Loaded"

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    # What the cluster does.

    def examined(self, found: Manifest | None, name: str = "demo", exit_code: int = 0) -> None:
        """The pod of the examination ends, and with it the Job."""
        [job] = [job for job in self.client.items(JOBS) if job["metadata"]["labels"]["fettle.dev/adapter"] == name]
        metadata = job["metadata"]
        message = json.dumps(found) if found is not None else ""
        reason = "Error" if exit_code else "Completed"
        ending = {"exitCode": exit_code, "message": message, "reason": reason, "finishedAt": self.stamp()}
        state = {"terminated": ending}
        owner = {"kind": "Job", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        pod = {
            "metadata": {
                "name": f"{metadata['name']}-{self.client.items(PODS).__len__()}",
                "namespace": NAMESPACE,
                "labels": metadata["labels"],
                "ownerReferences": [owner],
            },
            "status": {
                "phase": "Failed" if exit_code else "Succeeded",
                "containerStatuses": [{"name": "trainer", "state": state}],
            },
        }
        self.client.seed(PODS, pod)
        ended = {"type": "Failed" if exit_code else "Complete", "status": "True", "lastTransitionTime": self.stamp()}
        self.client.set_status(JOBS, metadata["name"], {"conditions": [ended]}, NAMESPACE)

    def start_engine(
        self, name: str = "engine-0", is_ready: bool = True, labels: Manifest = ENGINE_LABELS, **engine: Any
    ) -> FakeEngine:
        """An engine pod, new or changed."""
        number = int(name.rpartition("-")[2])
        address = f"10.0.0.{number + 1}"
        condition = {"type": "Ready", "status": "True" if is_ready else "False"}
        status = {"phase": "Running", "podIP": address, "conditions": [condition]}
        self.client.seed(
            PODS,
            {"metadata": {"name": name, "namespace": NAMESPACE, "labels": dict(labels)}, "status": status},
        )
        url = f"http://{address}:8000"
        if url not in self.engines.by_url or engine:
            self.engines.by_url[url] = FakeEngine(**engine)
        return self.engines.by_url[url]

    async def kill_engine(self, name: str = "engine-0") -> None:
        """The pod is gone, with all that it had."""
        await self.client.delete(PODS, name, NAMESPACE)
        number = int(name.rpartition("-")[2])
        self.engines.by_url.pop(f"http://10.0.0.{number + 1}:8000", None)

    def stamp(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    # What a test looks at.

    def adapter(self, name: str = "demo") -> Manifest:
        found = self.client.item(ADAPTERS, name, NAMESPACE)
        assert found is not None
        return found

    def status(self, name: str = "demo") -> Manifest:
        return dict(self.adapter(name).get("status") or {})

    def phase(self, name: str = "demo") -> str:
        return str(self.status(name).get("phase"))

    def condition(self, condition_type: str, name: str = "demo") -> tuple[str, str]:
        """Status and reason."""
        for condition in self.status(name).get("conditions") or []:
            if condition["type"] == condition_type:
                return condition["status"], condition["reason"]
        return "", ""

    def names(self, kind: ResourceKind) -> list[str]:
        return [item["metadata"]["name"] for item in self.client.items(kind)]

    def has_finalizer(self, name: str = "demo") -> bool:
        return "fettle.dev/loaded" in self.adapter(name)["metadata"].get("finalizers", [])


def _admit(kind: ResourceKind, manifest: Manifest, live: Manifest | None) -> Manifest:
    return admit(manifest, live) if kind == ADAPTERS else manifest


__all__ = ["DIGEST", "NAMESPACE", "OTHER_DIGEST", "AdapterWorld", "FakeEngine", "adapter", "place", "report", "served"]
