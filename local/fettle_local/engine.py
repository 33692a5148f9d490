"""The engine of one home: operator, Job controller, kubelet and progress reader in one asyncio loop over one store.

It decides nothing: it carries changes of the store to those parts. The operator is the same code as on a cluster.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, Protocol

from fettle_client.protocol import (
    ADAPTERS,
    JOBS,
    PODS,
    TRAINING_JOBS,
    ApiError,
    GoneError,
    Manifest,
    ResourceClient,
    ResourceKind,
)
from fettle_local.home import Home
from fettle_local.progress_reader import ProgressReader
from fettle_local.runner.gpus import GpuPool
from fettle_local.runner.job_controller import JobController
from fettle_local.runner.kubelet import Kubelet

EventType = Literal["ADDED", "MODIFIED", "DELETED"]

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 1.0


class OperatorController(Protocol):
    """What the engine uses of fettle_operator.controller.Controller."""

    def observe_event(self, event_type: str, manifest: Manifest) -> None:
        """Something changed."""
        ...

    async def run(self, workers: int) -> None:
        """Work until cancelled."""
        ...


class Engine:
    """`run` works until cancelled; then processes are asked to save a checkpoint, and their end is stored."""

    def __init__(
        self, client: ResourceClient, home: Home, controller: OperatorController, gpus: GpuPool | None = None
    ) -> None:
        self._client = client
        self._controller = controller
        self._jobs = JobController(client)
        self._progress = ProgressReader(client, home.workspace)
        self._kubelet = Kubelet(client, home, gpus, before_end=self._progress.finish)
        self._changed_jobs: asyncio.Queue[tuple[str, str]] = asyncio.Queue()

    async def run(self) -> None:
        """Work until cancelled; raises what a part of it raises."""
        try:
            async with asyncio.TaskGroup() as group:
                for kind, handle in self._handlers().items():
                    group.create_task(self._feed(kind, handle), name=f"watch {kind.plural}")
                group.create_task(self._work_on_jobs(), name="job controller")
                group.create_task(self._progress.run(), name="progress reader")
                group.create_task(self._controller.run(workers=2), name="operator")
        finally:
            await self._kubelet.stop()

    def _handlers(self) -> dict[ResourceKind, Callable[[EventType, Manifest], None]]:
        return {
            TRAINING_JOBS: self._controller.observe_event,
            ADAPTERS: self._controller.observe_event,
            JOBS: self._observe_job,
            PODS: self._observe_pod,
        }

    def _observe_job(self, event_type: EventType, job: Manifest) -> None:
        self._controller.observe_event(event_type, job)
        if event_type != "DELETED":
            self._changed_jobs.put_nowait((job["metadata"]["name"], job["metadata"]["namespace"]))

    def _observe_pod(self, event_type: EventType, pod: Manifest) -> None:
        self._controller.observe_event(event_type, pod)
        self._progress.observe(pod)
        if event_type == "DELETED":
            self._kubelet.forget(pod)
        else:
            self._kubelet.observe(pod)
        for owner in pod["metadata"].get("ownerReferences", []):
            if owner["kind"] == "Job":
                self._changed_jobs.put_nowait((owner["name"], pod["metadata"]["namespace"]))

    async def _work_on_jobs(self) -> None:
        while True:
            name, namespace = await self._changed_jobs.get()
            try:
                await self._jobs.reconcile(name, namespace)
            except ApiError as error:
                _log.warning("job is tried again", extra={"job": name, "namespace": namespace, "error": str(error)})
                await asyncio.sleep(_RETRY_SECONDS)
                self._changed_jobs.put_nowait((name, namespace))

    async def _feed(self, kind: ResourceKind, handle: Callable[[EventType, Manifest], None]) -> None:
        """Everything that is there, then every change; again from the start when history is lost."""
        while True:
            listed = await self._client.list(kind, None)
            for manifest in listed.items:
                handle("ADDED", manifest)
            try:
                async for event in self._client.watch(kind, None, listed.resource_version):
                    handle(event.type, event.manifest)
            except GoneError:
                _log.info("the change log was trimmed, listing again", extra={"kind": kind.kind})


def create_engine(client: ResourceClient, home: Home) -> Engine:
    """The engine with the operator's controller, configured for one machine."""
    from fettle_operator.controller import Controller
    from fettle_operator.settings import OperatorSettings, QueueLimits

    settings = OperatorSettings(
        trainer_image="local",
        watch_namespaces=[],
        receiver_url=None,
        queues={"default": QueueLimits(max_running=1)},
        requires_workspace_claim=False,
        loads_adapters=False,
        trainer_cpu_limit=str(len(os.sched_getaffinity(0))),
    )
    return Engine(client, home, Controller(client, settings, lambda: datetime.now(UTC)))
