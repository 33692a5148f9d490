"""Tells people about changes of phase by Kubernetes events, beside the work: nothing depends on it or waits for it."""

import asyncio
import logging
from collections.abc import Callable
from datetime import datetime

from fettle_client.protocol import EVENTS, AlreadyExistsError, ApiError, ResourceClient
from fettle_operator.events import build_event
from fettle_operator.logs import fields
from fettle_operator.plan import Key, Manifest, key_of

_log = logging.getLogger(__name__)

_REPEATED = ("type", "reason", "message", "lastTimestamp", "count")
_PATIENCE_SECONDS = 30.0
_LAST_WORDS_SECONDS = 5.0
_CHECK_SECONDS = 0.1


class Announcer:
    """Posts one event after another while nobody waits for a worker, or when that takes too long."""

    def __init__(
        self, client: ResourceClient, clock: Callable[[], datetime], *, is_enabled: bool, is_busy: Callable[[], bool]
    ) -> None:
        self._client, self._clock = client, clock
        self._is_enabled, self._is_busy = is_enabled, is_busy
        self._unposted: dict[Key, Manifest] = {}
        self._news = asyncio.Event()
        self._is_stopped = False

    def announce(self, subject: Manifest) -> None:
        """Post its phase soon, in place of what the same event would have said and was not posted yet. No I/O."""
        if self._is_enabled:
            event = build_event(subject, self._clock())
            self._unposted[key_of(event)] = event
            self._news.set()

    async def run(self) -> None:
        """Until `stop`, and then what is left."""
        while not self._is_stopped:
            await self._news.wait()
            await self._wait_for_quiet()
            await self.post_all()
        try:
            async with asyncio.timeout(_LAST_WORDS_SECONDS):
                await self.post_all()
        except TimeoutError:
            _log.info("%d events were not posted", len(self._unposted))

    def stop(self) -> None:
        """Post what is left and end."""
        self._is_stopped = True
        self._news.set()

    async def post_all(self) -> None:
        """Post what was announced."""
        self._news.clear()
        while self._unposted:
            key = next(iter(self._unposted))
            await self._post(self._unposted.pop(key))

    async def _wait_for_quiet(self) -> None:
        for _ in range(int(_PATIENCE_SECONDS / _CHECK_SECONDS)):
            if self._is_stopped or not self._is_busy():
                return
            await asyncio.sleep(_CHECK_SECONDS)

    async def _post(self, event: Manifest) -> None:
        metadata = event["metadata"]
        try:
            try:
                await self._client.create(EVENTS, event)
            except AlreadyExistsError:
                changed = {name: event[name] for name in _REPEATED}
                await self._client.patch(EVENTS, metadata["name"], metadata["namespace"], changed)
        except ApiError as error:
            _log.debug("event not posted: %s", error, extra=fields(event["involvedObject"]))
