"""The edge to resources: TrainingJobs read from a watch-fed cache, written through the client. No rules."""

import asyncio
import base64
import logging
from collections.abc import Callable
from datetime import datetime

from fettle_api.errors import JobNotFoundError
from fettle_api.metrics import Metrics
from fettle_api.resources.models import JobView
from fettle_api.resources.views import view_job
from fettle_api.resources.watch_cache import Listener, WatchCache
from fettle_client.protocol import SECRETS, TRAINING_JOBS, Manifest, NotFoundError, ResourceClient
from fettle_schema.base import API_VERSION
from fettle_schema.names import FIELD_MANAGER_RECEIVER
from fettle_schema.status import Checkpoint, Progress
from fettle_schema.vocabulary import Phase

_logger = logging.getLogger(__name__)


class Store:
    """Resources of one namespace. A writer returns when its own reads see the write."""

    def __init__(
        self, client: ResourceClient, namespace: str, timeout_seconds: float = 5.0, metrics: Metrics | None = None
    ) -> None:
        self.namespace = namespace
        self._client = client
        self._timeout_seconds = timeout_seconds
        self._jobs: WatchCache[JobView] = WatchCache(client, TRAINING_JOBS, namespace, view_job, _age, metrics=metrics)
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to watch."""
        task = asyncio.create_task(self._jobs.run(), name="watch-trainingjobs")
        task.add_done_callback(_report)
        self._tasks = [task]

    async def stop(self) -> None:
        """End the watch."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def is_alive(self) -> bool:
        """The watch has not ended; once it has, the process must be started again."""
        return not any(task.done() for task in self._tasks)

    @property
    def is_ready(self) -> bool:
        """Reads are answered from the cache."""
        return self._jobs.is_filled

    @property
    def known_count(self) -> int:
        """Jobs in the cache."""
        return len(self._jobs)

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with the name of each job that changes."""
        self._jobs.subscribe(listener)

    def cached_job(self, name: str) -> JobView | None:
        """The job as the last change left it; nothing is asked of the API server."""
        return self._jobs.get(name)

    def count_jobs(self, wanted: Callable[[JobView], bool]) -> int:
        """How many of the jobs known so far are wanted."""
        return sum(map(wanted, self._jobs.all()))

    async def list_jobs(self) -> list[JobView]:
        """All jobs in order of creation. Raises NotReadyError."""
        await self._jobs.wait_filled(self._timeout_seconds)
        return self._jobs.all()

    async def get_job(self, name: str) -> JobView:
        """One job; a miss, also of a cache that is still being filled, is asked of the API server.

        Raises JobNotFoundError.
        """
        return self._jobs.get(name) or await self.read_job(name)

    async def list_unfinished(self) -> list[JobView]:
        """Jobs that have not ended, as the API server has them now: also those that another facade has just made."""
        selector = ",".join(f"status.phase!={phase}" for phase in Phase if phase.is_finished)
        listed = await self._client.list(TRAINING_JOBS, self.namespace, field_selector=selector)
        return [view_job(manifest) for manifest in listed.items]

    async def read_job(self, name: str) -> JobView:
        """One job as the API server has it now. Raises JobNotFoundError."""
        try:
            return view_job(await self._client.get(TRAINING_JOBS, name, self.namespace))
        except NotFoundError as error:
            raise JobNotFoundError(name) from error

    async def create_job(self, manifest: Manifest) -> JobView:
        """Raises AlreadyExistsError, InvalidError."""
        created = await self._client.create(TRAINING_JOBS, manifest)
        await self._jobs.wait_for(created, self._timeout_seconds)
        return view_job(created)

    async def cancel_job(self, name: str) -> JobView:
        """Ask for the job's end. Raises JobNotFoundError."""
        return await self._patch_job(name, {"cancel": True})

    async def suspend_job(self, name: str, suspend: bool) -> JobView:
        """Ask the job to wait, or to go on. Raises JobNotFoundError."""
        return await self._patch_job(name, {"suspend": suspend})

    async def annotate_job(self, name: str, annotations: dict[str, str]) -> JobView:
        """Note something on the job, beside what is noted already. Raises JobNotFoundError."""
        return await self._patch(name, {"metadata": {"annotations": annotations}})

    async def _patch_job(self, name: str, spec: Manifest) -> JobView:
        return await self._patch(name, {"spec": spec})

    async def _patch(self, name: str, patch: Manifest) -> JobView:
        try:
            patched = await self._client.patch(TRAINING_JOBS, name, self.namespace, patch)
        except NotFoundError as error:
            raise JobNotFoundError(name) from error
        await self._jobs.wait_for(patched, self._timeout_seconds)
        return view_job(patched)

    async def delete_job(self, job: JobView) -> None:
        """Remove the resource and what it owns."""
        await self._client.delete(TRAINING_JOBS, job.name, self.namespace, uid=job.uid)

        def is_gone() -> bool:
            held = self._jobs.get(job.name)
            return held is None or held.uid != job.uid

        await self._jobs.wait_until(is_gone, self._timeout_seconds)

    async def write_progress(self, job: JobView, progress: Progress, checkpoints: list[Checkpoint]) -> None:
        """Apply the receiver's part of the status. Raises ConflictError if the name is another job's by now."""
        status = {
            "progress": progress.manifest(),
            "checkpoints": [checkpoint.manifest() for checkpoint in checkpoints],
        }
        try:
            await self._client.apply_status(
                TRAINING_JOBS, job.name, self.namespace, status, FIELD_MANAGER_RECEIVER, uid=job.uid
            )
        except NotFoundError as error:
            raise JobNotFoundError(job.name) from error

    async def create_secret(self, name: str, values: dict[str, str], owner: JobView) -> None:
        """A Secret that goes when the job goes. Raises AlreadyExistsError."""
        reference = {"apiVersion": API_VERSION, "kind": "TrainingJob", "name": owner.name, "uid": owner.uid}
        metadata = {"name": name, "namespace": self.namespace, "ownerReferences": [reference]}
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        body = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}
        await self._client.create(SECRETS, body)


def _age(job: JobView) -> datetime:
    return job.created_at


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _logger.error("the watch ended unexpectedly", exc_info=task.exception(), extra={"task": task.get_name()})
