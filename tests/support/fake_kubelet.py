"""A kubelet and a Job controller that do what a test tells them, over a MemoryClient, and a controller that is driven
one pass at a time.
"""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from fettle_client.protocol import ADAPTERS, CLAIMS, CONFIG_MAPS, JOBS, PODS, TRAINING_JOBS, Manifest, ResourceKind
from fettle_operator.controller import Controller
from fettle_operator.settings import OperatorSettings
from fettle_schema.names import LABEL_ATTEMPT, LABEL_JOB
from fettle_schema.validation import admit
from tests.support.memory_client import MemoryClient

NAMESPACE = "default"
DIGEST = "sha256:" + "ab" * 32
OTHER_DIGEST = "sha256:" + "cd" * 32
GRACE = "test/kubelet"
"""Finalizer of a pod whose process still runs."""


def training_job(name: str = "demo", **spec: Any) -> Manifest:
    """A small valid TrainingJob."""
    return {
        "apiVersion": "fettle.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "baseModel": {"path": "models/tiny"},
            "dataset": {"source": {"workspace": {"path": "datasets/kubectl"}}},
            "resources": {"gpusPerNode": 0},
            **spec,
        },
    }


def run_result(exit_code: int = 0, step: int = 150, **more: Any) -> Manifest:
    """A termination message; a successful one with an adapter."""
    result: Manifest = {"exitCode": exit_code, "step": step, **more}
    if exit_code == 0 and "output" not in more:
        result["output"] = {"kind": "adapter", "path": "adapters/demo/abababababab", "digest": DIGEST}
        result |= {"sizeBytes": 1024, "rank": 8, "targetModules": ["q_proj"], "datasetDigest": "sha256:d"}
        result |= {"baseModelRevision": "c0ffee", "metrics": {"loss": 0.5, "evalLoss": 0.6}}
    return result


def settings(**changes: Any) -> OperatorSettings:
    """Settings of an installation with a receiver."""
    values = {"trainer_image": "fettle-trainer:test", "receiver_url": "http://receiver:8090", **changes}
    return OperatorSettings(**values)


class World:
    """One namespace, a clock that stands still, and the fate of pods in the hands of the test."""

    def __init__(
        self,
        operator_settings: OperatorSettings | None = None,
        has_claim: bool = True,
        client_class: type[MemoryClient] = MemoryClient,
    ) -> None:
        self.now = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
        self.client = client_class(clock=lambda: self.now, admit=_admit)
        self.settings = operator_settings or settings()
        self.controller = self.new_controller()
        if has_claim:
            self.client.seed(CLAIMS, {"metadata": {"name": "fettle-workspace", "namespace": NAMESPACE}})

    def new_controller(self) -> Controller:
        """What a restart of the operator makes; it knows what a first list tells."""
        self.controller = Controller(self.client, self.settings, lambda: self.now)
        for job in self.client.items(TRAINING_JOBS):
            self.controller.observe_event("ADDED", job)
        return self.controller

    async def submit(self, name: str = "demo", **spec: Any) -> Manifest:
        """Create a job and let the controller see it."""
        created = await self.client.create(TRAINING_JOBS, training_job(name, **spec))
        self.controller.observe_event("ADDED", created)
        return created

    async def edit(self, name: str = "demo", **spec: Any) -> None:
        """What `kubectl patch` does."""
        changed = await self.client.patch(TRAINING_JOBS, name, NAMESPACE, {"spec": spec})
        self.controller.observe_event("MODIFIED", changed)

    async def settle(self, *names: str) -> None:
        """Passes until nothing changes; a job that never comes to rest is a bug."""
        chosen = names or tuple(job["metadata"]["name"] for job in self.client.items(TRAINING_JOBS))
        for adapter in self.client.items(ADAPTERS):
            self.controller.observe_event("ADDED", adapter)
        for _ in range(40):
            changed = False
            for name in chosen:
                changed |= await self.controller.reconcile_once((NAMESPACE, name))
            self.kubelet()
            if not changed:
                await self.controller.announcer.post_all()
                return
        raise AssertionError(f"{chosen} do not come to rest")

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.now += timedelta(seconds=seconds)

    # What the cluster does.

    def kubelet(self) -> None:
        """Make the pods of Jobs that have none."""
        for run in self.client.items(JOBS):
            spec = run["spec"]
            is_over = run["metadata"].get("deletionTimestamp") or (run.get("status") or {}).get("conditions")
            if is_over or spec.get("suspend") or self._pods(run["metadata"]["name"]):
                continue
            for index in range(spec["parallelism"]):
                self.make_pod(run, f"{run['metadata']['name']}-{index}")

    def pods_run(self, attempt: int = 1, job: str = "demo") -> None:
        """All pods of an attempt start their container."""
        for pod in self._pods(f"{job}-a{attempt}"):
            self.set_pod(pod, "Running", {"running": {"startedAt": self.stamp()}})

    def pod_ends(
        self, exit_code: int, message: Any = None, attempt: int = 1, job: str = "demo", index: int = 0, **state: Any
    ) -> None:
        """A container ends and, with it, the Job."""
        run_name = f"{job}-a{attempt}"
        pod = self._pods(run_name)[index]
        started = (pod["status"].get("containerStatuses") or [{}])[0].get("state", {}).get("running", {})
        text = message if isinstance(message, str) else json.dumps(message) if message else ""
        terminated = {
            "exitCode": exit_code,
            "message": text,
            "startedAt": started.get("startedAt", self.stamp()),
            "finishedAt": self.stamp(),
            **state,
        }
        self.set_pod(pod, "Failed" if exit_code else "Succeeded", {"terminated": terminated})
        self.job_ends("Failed" if exit_code else "Complete", run_name)

    def job_ends(self, condition: str, run_name: str = "demo-a1") -> None:
        """The Job controller's verdict."""
        ended = {"type": condition, "status": "True", "lastTransitionTime": self.stamp()}
        self.client.set_status(JOBS, run_name, {"conditions": [ended]}, NAMESPACE)

    def pod_status(self, run_name: str = "demo-a1", **status: Any) -> None:
        """Whatever else a kubelet or the scheduler reports."""
        for pod in self._pods(run_name):
            self.client.set_status(PODS, pod["metadata"]["name"], {**pod["status"], **status}, NAMESPACE)

    async def pods_vanish(self) -> None:
        """Pods are evicted, and their objects are gone before anybody looks."""
        for pod in self.client.items(PODS):
            await self.client.delete(PODS, pod["metadata"]["name"], NAMESPACE)
        self.pods_stop()

    def pods_stop(self) -> None:
        """Processes that were asked to stop are gone."""
        for pod in self.client.items(PODS):
            if pod["metadata"].get("deletionTimestamp"):
                pod["metadata"].pop("finalizers", None)
                self.client.seed(PODS, pod)

    def stamp(self) -> str:
        return self.now.strftime("%Y-%m-%dT%H:%M:%SZ")

    def make_pod(self, run: Manifest, name: str) -> None:
        """What the Job controller does."""
        metadata = run["metadata"]
        assert {LABEL_JOB, LABEL_ATTEMPT} <= set(metadata["labels"])
        owner = {"kind": "Job", "name": metadata["name"], "uid": metadata["uid"], "controller": True}
        self.client.seed(
            PODS,
            {
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "labels": run["spec"]["template"]["metadata"]["labels"],
                    "ownerReferences": [owner],
                    "finalizers": [GRACE],
                },
                "spec": run["spec"]["template"]["spec"],
                "status": {"phase": "Pending"},
            },
        )

    def set_pod(self, pod: Manifest, phase: str, state: Manifest) -> None:
        """What the kubelet reports."""
        status = {**pod["status"], "phase": phase, "containerStatuses": [{"name": "trainer", "state": state}]}
        self.client.set_status(PODS, pod["metadata"]["name"], status, NAMESPACE)

    # What a test looks at.

    def status(self, name: str = "demo") -> Manifest:
        job = self.client.item(TRAINING_JOBS, name, NAMESPACE)
        assert job is not None
        return dict(job.get("status") or {})

    def phase(self, name: str = "demo") -> str:
        return str(self.status(name).get("phase"))

    def condition(self, condition_type: str, name: str = "demo") -> Manifest:
        return next((c for c in self.status(name)["conditions"] if c["type"] == condition_type), {})

    def names(self, kind: ResourceKind) -> list[str]:
        return [item["metadata"]["name"] for item in self.client.items(kind)]

    def adapter(self, name: str = "demo") -> Manifest | None:
        return self.client.item(ADAPTERS, name, NAMESPACE)

    def run_config(self, attempt: int = 1, job: str = "demo") -> Manifest:
        config_map = self.client.item(CONFIG_MAPS, f"{job}-a{attempt}", NAMESPACE)
        assert config_map is not None
        return dict(json.loads(config_map["data"]["run.json"]))

    def _pods(self, run_name: str) -> list[Manifest]:
        return [pod for pod in self.client.items(PODS) if pod["metadata"]["name"].rsplit("-", 1)[0] == run_name]


def _admit(kind: ResourceKind, manifest: Manifest, live: Manifest | None) -> Manifest:
    return admit(manifest, live) if kind in (TRAINING_JOBS, ADAPTERS) else manifest
