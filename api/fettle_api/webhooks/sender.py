"""Watches for jobs that have ended, puts their messages into the outbox, and sends what is due."""

import asyncio
import logging
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path

from fettle_api.files.workspace import Workspace
from fettle_api.files.writer import WorkspaceWriter
from fettle_api.metrics import Metrics
from fettle_api.outbound import Outbound
from fettle_api.resources.models import JobView
from fettle_api.resources.store import Store
from fettle_api.settings import ApiSettings
from fettle_api.webhooks.delivery import Result, deliver, pause_seconds
from fettle_api.webhooks.lease import SenderLease
from fettle_api.webhooks.outbox import Message, Outbox
from fettle_api.webhooks.payloads import message_body, message_id
from fettle_api.webhooks.signing import SigningKey, read_key
from fettle_client.protocol import ResourceClient
from fettle_schema.errors import FettleError

LONGEST_TRY = timedelta(days=3)
FORGOTTEN = timedelta(days=7)
"""A job that ended longer ago, and of which nobody kept a note, is not announced any more."""
_AT_ONCE = 8
_RETRY_SECONDS = 5.0
_SWEEP_SECONDS = 3600.0

_logger = logging.getLogger(__name__)


class WebhookSender:
    """One of them in each facade; the one that has the Lease sends."""

    def __init__(
        self,
        store: Store,
        outbox: Outbox,
        outbound: Outbound,
        lease: SenderLease,
        key: SigningKey | None,
        clock: Callable[[], datetime],
        pause: Callable[[int], float] = pause_seconds,
        metrics: Metrics | None = None,
    ) -> None:
        self._store, self._outbox, self._outbound, self._lease = store, outbox, outbound, lease
        self._key, self._clock, self._pause = key, clock, pause
        self._metrics = metrics or Metrics()
        self._ended: dict[str, JobView] = {}
        self._known: set[str] = set()
        self._wake = asyncio.Event()
        self._swept_at: datetime | None = None
        self._task: asyncio.Task[None] | None = None
        store.subscribe(self._note)

    def start(self) -> None:
        """Begin to send."""
        self._task = asyncio.create_task(self._run(), name="webhooks")
        self._task.add_done_callback(_report)

    @property
    def is_alive(self) -> bool:
        """It has not ended by a mistake of ours; once it has, the process must be started again."""
        return self._task is None or not self._task.done()

    async def stop(self) -> None:
        """End; what is under way is sent again by whoever comes next."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._lease.release()

    def _note(self, name: str) -> None:
        """Keeps the job as it is now: it may be deleted before its message is written."""
        job = self._store.cached_job(name)
        if job is not None and job.uid not in self._known and self._is_due(job):
            self._ended[job.uid] = job
            self._wake.set()

    def _is_due(self, job: JobView) -> bool:
        ended_at = job.completion_time or job.created_at
        return job.is_finished and job.has_webhook and self._clock() - ended_at < FORGOTTEN

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            try:
                pause = await self._work()
            except (FettleError, OSError) as error:  # the workspace is full or away: nothing is lost, try again
                _logger.error("webhooks are held up", extra={"error": type(error).__name__})
                pause = _RETRY_SECONDS
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await self._wake.wait()

    async def _work(self) -> float:
        """Everything that can be done now; seconds until there is more, if nothing happens before."""
        await self._collect()
        due, pause = await self._due()
        if not due:
            await self._lease.release()
            return pause
        if not await self._lease.hold():
            return _RETRY_SECONDS
        await self._sweep()
        due, _ = await self._due()  # whoever sent until now may have done it
        await self._deliver(due[:_AT_ONCE])
        return 0.0

    async def _due(self) -> tuple[list[Message], float]:
        """What is to be sent now, and how long nothing else is."""
        waiting, now = await asyncio.to_thread(self._outbox.waiting), self._clock().timestamp()
        due = [message for message in waiting if message.next_attempt_at <= now]
        later = [message.next_attempt_at - now for message in waiting if message.next_attempt_at > now]
        return due, max(0.05, min([*later, _SWEEP_SECONDS]))

    async def _collect(self) -> None:
        for uid, job in list(self._ended.items()):
            message = new_message(job, self._store.namespace, self._clock())
            if message is not None:
                await asyncio.to_thread(self._outbox.add, message)
            self._known.add(uid)
            del self._ended[uid]

    async def _deliver(self, messages: list[Message]) -> None:
        ended = await asyncio.gather(*map(self._attempt, messages), return_exceptions=True)
        for error in ended:
            if error is not None:
                raise error

    async def _attempt(self, message: Message) -> None:
        result, words = await deliver(message, self._outbound, self._key, self._clock)
        self._metrics.webhook_ended(result.value)
        now, about = self._clock(), {"job": message.job, "attempt": message.attempts + 1, "result": words}
        next_at = now + timedelta(seconds=self._pause(message.attempts + 1))
        if result is Result.DELIVERED:
            _logger.info("webhook delivered", extra=about)
            await asyncio.to_thread(self._outbox.conclude, message, "delivered", now)
        elif result is Result.UNWANTED or next_at.timestamp() - message.created_at > LONGEST_TRY.total_seconds():
            _logger.error("webhook given up", extra=about)
            await asyncio.to_thread(self._outbox.conclude, message, "abandoned", now)
        else:
            _logger.warning("webhook not delivered, trying again", extra=about)
            await asyncio.to_thread(self._outbox.postpone, message, next_at.timestamp())

    async def _sweep(self) -> None:
        now = self._clock()
        if self._swept_at is None or (now - self._swept_at).total_seconds() > _SWEEP_SECONDS:
            self._swept_at = now
            await asyncio.to_thread(self._outbox.sweep, now, FORGOTTEN + timedelta(days=1))


def new_message(job: JobView, namespace: str, now: datetime) -> Message | None:
    """The message about a job that has ended; None if it wants none."""
    webhook = job.spec.webhook
    if webhook is None:
        return None
    return Message(
        uid=job.uid,
        job=job.name,
        id=message_id(job),
        url=webhook.url,
        needs_signature=webhook.format == "standard",
        body=message_body(job, namespace).decode(),
        created_at=now.timestamp(),
    )


def build_sender(
    settings: ApiSettings,
    client: ResourceClient,
    store: Store,
    outbound: Outbound,
    workspace: Path,
    clock: Callable[[], datetime],
    metrics: Metrics,
) -> WebhookSender:
    """The sender of this process. Raises SigningKeyError, OSError."""
    key = read_key(settings.webhook_key_file) if settings.webhook_key_file else None
    outbox = Outbox(Workspace(workspace), WorkspaceWriter(workspace), key)
    identity = f"{socket.gethostname()}-{secrets.token_hex(4)}"
    lease = SenderLease(client, settings.namespace, identity)
    return WebhookSender(store, outbox, outbound, lease, key, clock, metrics=metrics)


def _report(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _logger.error("the sender of webhooks ended unexpectedly", exc_info=task.exception())
