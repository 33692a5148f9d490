"""The kubelet of one machine: runs each pod of the store as a process and reports its status. It creates no pod.

A pod that an earlier engine left running is found again by its directory: by its exit status if it has one, else its
process is stopped and awaited, and it counts as disrupted.
"""

import asyncio
import logging

from fettle_client.protocol import Manifest, ResourceClient
from fettle_local.home import Home
from fettle_local.runner.gpus import GpuPool
from fettle_local.runner.pod_run import BeforeEnd, PodRun
from fettle_local.runner.pod_status import POD_FINALIZER

_log = logging.getLogger(__name__)


class Kubelet:
    """Feed it pods by `observe`; `stop` ends all processes and reports their end."""

    def __init__(self, client: ResourceClient, home: Home, gpus: GpuPool | None, before_end: BeforeEnd) -> None:
        self._client = client
        self._before_end = before_end
        self._home = home
        self._gpus = gpus or GpuPool()
        self._runs: dict[str, tuple[PodRun, asyncio.Task[None]]] = {}

    def observe(self, pod: Manifest) -> None:
        """Act on a pod as the store has it now; safe to repeat."""
        metadata = pod["metadata"]
        if POD_FINALIZER not in metadata.get("finalizers", []):
            return
        if metadata["uid"] not in self._runs:
            run = PodRun(pod, self._client, self._home, self._gpus, self._before_end)
            task = asyncio.create_task(run.run(), name=f"pod {metadata['name']}")
            task.add_done_callback(_log_failure)
            self._runs[metadata["uid"]] = (run, task)
        if "deletionTimestamp" in metadata:
            self._runs[metadata["uid"]][0].delete()

    def forget(self, pod: Manifest) -> None:
        """The pod is no longer in the store."""
        run_and_task = self._runs.get(pod["metadata"]["uid"])
        if run_and_task is not None and run_and_task[1].done():
            del self._runs[pod["metadata"]["uid"]]

    async def stop(self) -> None:
        """Ask every process to stop and wait; each is reported as disrupted unless it succeeded."""
        ending = []
        for run, task in self._runs.values():
            if run.interrupt():
                ending.append(run.ended)
            else:
                task.cancel()
        await asyncio.gather(*(ended.wait() for ended in ending))
        for _, task in self._runs.values():
            task.cancel()
        await asyncio.gather(*(task for _, task in self._runs.values()), return_exceptions=True)


def _log_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        _log.error("pod cannot be run", exc_info=error, extra={"task": task.get_name()})
