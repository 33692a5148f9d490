"""The operator as a process on a real API server, and a namespace whose user and kubelet the test plays."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import ADAPTERS, CLAIMS, JOBS, PODS, TRAINING_JOBS, Manifest, NotFoundError, ResourceKind
from fettle_schema.names import (
    ENGINE_LABELS,
    LABEL_ADAPTER,
    LABEL_ATTEMPT,
    LABEL_JOB,
    LABEL_MANAGED_BY,
    MANAGED_BY,
)
from tests.support.fake_kubelet import training_job
from tests.support.polling import eventually


class OperatorProcesses:
    """`python -m fettle_operator`, several times if need be; `settings` are more variables of its environment."""

    def __init__(self, kubeconfig: Path, namespace: str, log: Path, **settings: str) -> None:
        self.started: list[subprocess.Popen[bytes]] = []
        self._log = log
        self._environment = os.environ | {
            "KUBECONFIG": str(kubeconfig),
            "FETTLE_TRAINER_IMAGE": "fettle-trainer:test",
            "FETTLE_WATCH_NAMESPACES": namespace,
            "FETTLE_LEASE_NAMESPACE": namespace,
            "FETTLE_LEASE_DURATION_SECONDS": "3",
            "FETTLE_LEASE_RENEW_DEADLINE_SECONDS": "2",
            "FETTLE_LEASE_RETRY_SECONDS": "0.3",
            "FETTLE_RETRY_BACKOFF_SECONDS": "0",
            "FETTLE_HTTP_PORT": "0",
            "PYTHONPATH": os.pathsep.join(sys.path),
            **settings,
        }

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "fettle_operator"]
        with self._log.open("ab") as log:
            process = subprocess.Popen(command, env=self._environment, stdout=log, stderr=log)
        self.started.append(process)
        return process

    def stop_all(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""


class Namespace:
    """One namespace as a user and a kubelet see it."""

    def __init__(self, client: KubernetesClient, name: str) -> None:
        self.client = client
        self.name = name

    async def make_claim(self) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        metadata = {"name": "fettle-workspace", "namespace": self.name}
        await self.client.create(CLAIMS, {"metadata": metadata, "spec": spec})

    async def submit(self, name: str = "demo", **spec: Any) -> None:
        manifest = training_job(name, **spec)
        manifest["metadata"]["namespace"] = self.name
        await self.client.create(TRAINING_JOBS, manifest)

    async def edit(self, name: str = "demo", **spec: Any) -> None:
        await self.client.patch(TRAINING_JOBS, name, self.name, {"spec": spec})

    async def status(self, name: str = "demo") -> Manifest:
        job = await self.client.get(TRAINING_JOBS, name, self.name)
        return dict(job.get("status") or {})

    async def reaches(self, phase: str, name: str = "demo", reason: str | None = None) -> Manifest:
        async def is_there() -> bool:
            status = await self.status(name)
            return status.get("phase") == phase and reason in (None, status.get("reason"))

        await eventually(is_there, f"{name} is {phase} {reason or ''}")
        return await self.status(name)

    async def names(self, kind: ResourceKind) -> list[str]:
        listed = await self.client.list(kind, self.name)
        return sorted(item["metadata"]["name"] for item in listed.items)

    async def pod(self, attempt: int = 1, job: str = "demo") -> Manifest:
        """The live pod of an attempt, as soon as the Job controller has made it."""
        found: list[Manifest] = []

        async def exists() -> bool:
            selector = f"{LABEL_JOB}={job},{LABEL_ATTEMPT}={attempt}"
            listed = await self.client.list(PODS, self.name, label_selector=selector)
            found[:] = [p for p in listed.items if (p.get("status") or {}).get("phase") not in ("Failed", "Succeeded")]
            return bool(found)

        await eventually(exists, f"attempt {attempt} of {job} has a pod")
        return found[0]

    async def pod_runs(self, attempt: int = 1, job: str = "demo") -> None:
        await self._report(await self.pod(attempt, job), "Running", {"running": {"startedAt": "2026-01-01T00:00:00Z"}})

    async def pod_ends(
        self, exit_code: int, message: Manifest | None = None, attempt: int = 1, job: str = "demo"
    ) -> None:
        state = {
            "exitCode": exit_code,
            "message": json.dumps(message) if message else "",
            "startedAt": "2026-01-01T00:00:00Z",
            "finishedAt": "2026-01-01T00:01:00Z",
        }
        phase = "Failed" if exit_code else "Succeeded"
        await self._report(await self.pod(attempt, job), phase, {"terminated": state})

    async def examination_ends(self, report: Manifest, adapter: str = "demo") -> None:
        """The pod that examines an Adapter's files reports."""
        found: list[Manifest] = []

        async def exists() -> bool:
            listed = await self.client.list(PODS, self.name, label_selector=f"{LABEL_ADAPTER}={adapter}")
            found[:] = listed.items
            return bool(found)

        await eventually(exists, f"the files of {adapter} are examined")
        times = {"startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:01:00Z"}
        state = {"exitCode": 0, "message": json.dumps(report), **times}
        await self._report(found[0], "Succeeded", {"terminated": state})

    async def adapter_reaches(self, phase: str, name: str = "demo") -> Manifest:
        async def is_there() -> bool:
            adapter = await self.adapter(name)
            return adapter is not None and (adapter.get("status") or {}).get("phase") == phase

        await eventually(is_there, f"adapter {name} is {phase}")
        adapter = await self.adapter(name)
        assert adapter is not None
        return adapter

    async def start_engine(self, name: str, address: str) -> None:
        """A pod of an engine that is ready at an address of this machine."""
        container = {"name": "engine", "image": "engine:test"}
        metadata = {"name": name, "namespace": self.name, "labels": {**ENGINE_LABELS, LABEL_MANAGED_BY: MANAGED_BY}}
        await self.client.create(PODS, {"metadata": metadata, "spec": {"containers": [container]}})
        conditions = [{"type": "Ready", "status": "True"}]
        status = {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}
        await self.client.apply_status(PODS, name, self.name, status, "test-kubelet")

    async def adapter(self, name: str = "demo") -> Manifest | None:
        try:
            return await self.client.get(ADAPTERS, name, self.name)
        except NotFoundError:
            return None

    async def run_uids(self) -> dict[str, str]:
        listed = await self.client.list(JOBS, self.name)
        return {item["metadata"]["name"]: item["metadata"]["uid"] for item in listed.items}

    async def _report(self, pod: Manifest, phase: str, state: Manifest) -> None:
        container = {
            "name": "trainer",
            "image": "fettle-trainer:test",
            "imageID": "",
            "ready": False,
            "restartCount": 0,
            "state": state,
        }
        status = {"phase": phase, "containerStatuses": [container]}
        await self.client.apply_status(PODS, pod["metadata"]["name"], self.name, status, "test-kubelet")


def kill(process: subprocess.Popen[bytes]) -> None:
    """What the kernel's OOM killer does."""
    process.send_signal(signal.SIGKILL)
    process.wait()
