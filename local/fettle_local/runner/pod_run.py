"""One pod from its start to its removal: takes GPUs, waits for what it refers to, runs the process, reports the end."""

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from fettle_client.protocol import CONFIG_MAPS, PODS, SECRETS, Manifest, NotFoundError, ResourceClient, ResourceKind
from fettle_local.home import Home
from fettle_local.runner import pod_status
from fettle_local.runner.gpus import GpuPool
from fettle_local.runner.pod_directory import PodDirectory, process_environment
from fettle_local.runner.pod_process import PodProcess
from fettle_local.runner.pod_template import (
    ContainerRun,
    UnschedulableError,
    UnsupportedPodError,
    container_run,
    rewrite_path,
)

FIELD_MANAGER = "fettle-kubelet"
BeforeEnd = Callable[[Manifest], Awaitable[None]]
"""Called with a pod whose process has ended, before that is reported."""

_log = logging.getLogger(__name__)
_RETRY_SECONDS = 0.5
_VISIBLE_DEVICES = "CUDA_VISIBLE_DEVICES"


class PodRun:
    """Await `run` once; `delete` and `interrupt` may be called at any time and return at once."""

    def __init__(self, pod: Manifest, client: ResourceClient, home: Home, gpus: GpuPool, before_end: BeforeEnd) -> None:
        self._metadata = pod["metadata"]
        self._pod = pod
        self._client = client
        self._home = home
        self._gpus = gpus
        self._before_end = before_end
        self._directory = PodDirectory(home.pod_directory(self._metadata["name"], self._metadata["uid"]))
        self._process: PodProcess | None = None
        self._is_deleted = asyncio.Event()
        self.ended = asyncio.Event()
        """The process has ended, and its end is in the store."""

    def delete(self) -> None:
        """The pod was deleted: stop its process, report its end, and let it go. Safe to repeat."""
        if not self._is_deleted.is_set():
            self._is_deleted.set()
            self._directory.request_stop()
            if self._process is not None:
                self._process.stop()

    def interrupt(self) -> bool:
        """The engine stops: stop the process as disrupted. False if there is none to wait for."""
        if self._process is None:
            return False
        self._process.stop()
        return True

    async def run(self) -> None:
        """Run the pod to its end, then wait until it is deleted and remove its files."""
        try:
            if not pod_status.is_finished(self._pod):
                await self._run_to_the_end()
            self.ended.set()
            await self._is_deleted.wait()
            self._directory.remove()
            name, namespace = self._metadata["name"], self._metadata["namespace"]
            await self._client.patch(PODS, name, namespace, {"metadata": {"finalizers": None}})
        except NotFoundError:
            self._directory.remove()
        finally:
            self.ended.set()
            self._gpus.release(self._metadata["uid"])

    async def _run_to_the_end(self) -> None:
        try:
            run = container_run(self._pod)
        except UnsupportedPodError as error:
            await self._report(pod_status.refused(str(error), _now()))
            return
        except UnschedulableError as error:
            await self._report(pod_status.unschedulable(str(error), _now()))
            return
        process = PodProcess(self._directory, self._metadata["uid"], run.grace_seconds)
        if self._directory.was_started():
            self._process = process
            process.stop()  # it may be there still: an earlier engine died, and the run is to stop
        elif not await self._start(run, process):
            return
        record = await process.wait()
        self._process = None
        self._gpus.release(self._metadata["uid"])
        await self._before_end(self._pod)
        disrupted = record.was_signalled and not self._directory.was_stop_requested()
        message = self._directory.termination_message()
        await self._report(pod_status.ended(run.name, record, message, disrupted))
        _log.info("pod ended", extra={"pod": self._metadata["name"], "exit_code": record.exit_code})

    async def _start(self, run: ContainerRun, process: PodProcess) -> bool:
        """Wait for what the pod needs and start it; False if it was deleted before."""
        gpus = await self._take_gpus(run)
        volumes = {volume.source: False for volume in run.volumes if volume.kind == "configMap"}
        config_maps = await self._referenced(run, CONFIG_MAPS, volumes)
        secrets = await self._referenced(run, SECRETS, dict(run.secrets))
        if self._is_deleted.is_set():
            return False
        directories = self._directory.prepare(run, self._home.workspace, config_maps)
        environment = process_environment(run, directories, secrets, dict(os.environ))
        environment[_VISIBLE_DEVICES] = ",".join(gpus)
        command = [rewrite_path(argument, directories) for argument in run.command]
        if command[0] in ("python", "python3"):
            command[0] = sys.executable
        working_directory = str(self._directory.path)
        if run.working_directory is not None:
            working_directory = rewrite_path(run.working_directory, directories)
        try:
            await process.start(command, environment, working_directory)
        except OSError as error:
            await self._report(pod_status.refused(f"the process cannot be started: {error}", _now()))
            return False
        self._process = process
        _log.info("pod started", extra={"pod": self._metadata["name"]})
        if self._is_deleted.is_set():
            process.stop()
        await self._report(pod_status.running(run.name, _now()))
        return True

    async def _take_gpus(self, run: ContainerRun) -> list[str]:
        """Free GPUs, waiting for them; none if the pod was deleted meanwhile."""
        told = ""
        while not self._is_deleted.is_set():
            gpus = self._gpus.take(self._metadata["uid"], run.gpus, run.env.get(_VISIBLE_DEVICES, ""))
            if gpus is not None:
                return gpus
            shortage = self._gpus.shortage(run.gpus)
            if shortage != told:
                await self._report(pod_status.unschedulable(shortage, _now()))
                told = shortage
            await self._pause()
        return []

    async def _referenced(self, run: ContainerRun, kind: ResourceKind, wanted: dict[str, bool]) -> dict[str, Manifest]:
        """Manifests by name, waiting for those that may not be missing, unless the pod is deleted meanwhile."""
        found: dict[str, Manifest] = {}
        for name, may_be_missing in wanted.items():
            told = False
            while not self._is_deleted.is_set():
                try:
                    found[name] = await self._client.get(kind, name, self._metadata["namespace"])
                    break
                except NotFoundError as error:
                    if may_be_missing:
                        break
                    if not told:
                        reason = "CreateContainerConfigError"
                        await self._report(pod_status.waiting(run.name, reason, str(error), _now()))
                        told = True
                await self._pause()
        return found

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(_RETRY_SECONDS):
                await self._is_deleted.wait()
        except TimeoutError:
            return

    async def _report(self, status: Manifest) -> None:
        name, namespace, uid = (self._metadata[field] for field in ("name", "namespace", "uid"))
        await self._client.apply_status(PODS, name, namespace, status, FIELD_MANAGER, uid=uid)


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
