"""The live feed: what happens to jobs, as it happens. One reader for all followers; no HTTP, no dialect.

State comes from the watch, each logged step from the job's `metrics.jsonl`, of which there is one tail however many
follow. A follower gets the state as it is, then only what is new: after a reconnect nothing comes twice. Reports of a
step come before the state that they lead to.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from fettle_api.files.workspace import Workspace
from fettle_api.progress.events import Follower, JobChanged, JobGone, JobReported, LiveEvent
from fettle_api.progress.merged import is_later, report_of, same_but_progress, with_progress
from fettle_api.progress.series_tail import SeriesTail
from fettle_api.resources.models import JobView
from fettle_api.resources.store import Store
from fettle_schema.progress import merge_progress
from fettle_schema.run import ProgressEvent
from fettle_schema.status import Progress
from fettle_schema.vocabulary import Phase

INTERVAL_SECONDS = 0.4
"""Between two looks at the files of running jobs; a report to the receiver is looked at at once."""

_logger = logging.getLogger(__name__)


@dataclass
class _Track:
    """What is known of one job that somebody follows."""

    job: JobView
    """As it was told to followers last."""
    tail: SeriesTail | None
    """None while nothing can be written to its file."""
    followers: set[Follower] = field(default_factory=set)
    was_cached: bool = False
    """The cache has had it: if it is not there any more, it is gone, and not just too new."""

    @property
    def progress(self) -> Progress | None:
        return self.job.status.progress


class LiveFeed:
    """Followers of jobs of one namespace. Works while somebody follows; costs nothing else."""

    def __init__(self, store: Store, workspace: Workspace, interval_seconds: float = INTERVAL_SECONDS) -> None:
        self._store, self._workspace, self._interval_seconds = store, workspace, interval_seconds
        self._tracks: dict[str, _Track] = {}
        self._followers_of_all: set[Follower] = set()
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._beginning: dict[str, asyncio.Lock] = {}
        store.subscribe(self.wake)

    @property
    def follower_count(self) -> int:
        """How many follow, one job or all."""
        return len(self._followers_of_all) + sum(len(track.followers) for track in self._tracks.values())

    @asynccontextmanager
    async def follow(self, name: str) -> AsyncIterator[AsyncIterator[LiveEvent]]:
        """`async with live.follow(name) as events`: first JobChanged with the state as it is, then what happens.

        Ends after JobGone. Raises JobNotFoundError; reading raises SlowFollowerError if the reader was too slow.
        """
        track, follower = await self._track(name), Follower()
        follower.put(JobChanged(track.job))
        track.followers.add(follower)
        try:
            self._start()
            yield follower
        finally:
            track.followers.discard(follower)
            self._forget(name, track)

    @asynccontextmanager
    async def follow_all(self) -> AsyncIterator[AsyncIterator[LiveEvent]]:
        """The same for all jobs, also those that are made later; what is there already is not told."""
        follower, is_first = Follower(), not self._followers_of_all
        self._followers_of_all.add(follower)
        try:
            if is_first:
                for job in await self._store.list_jobs():
                    await self._track(job.name)
            self._start()
            yield follower
        finally:
            self._followers_of_all.discard(follower)
            if not self._followers_of_all:
                for name, track in list(self._tracks.items()):
                    self._forget(name, track)

    def wake(self, name: str) -> None:
        """Look at this job now: it has changed, or reported."""
        if name in self._tracks or self._followers_of_all:
            self._dirty.add(name)
            self._wake.set()

    async def stop(self) -> None:
        """End all followers."""
        for follower in [*self._followers_of_all, *(one for track in self._tracks.values() for one in track.followers)]:
            follower.end()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _track(self, name: str) -> _Track:
        """The track of a job, begun at the end of its file: once, however many come at the same time."""
        turn = self._beginning.setdefault(name, asyncio.Lock())
        try:
            async with turn:
                return self._tracks.get(name) or await self._begin(name)
        finally:
            if not turn.locked():
                self._beginning.pop(name, None)

    async def _begin(self, name: str) -> _Track:
        job = await self._store.get_job(name)
        tail = SeriesTail(self._workspace, job.name, job.uid)
        skipped = await asyncio.to_thread(tail.skip) if job.phase in _RUNNING else []
        track = _Track(_with_reports(job, skipped), None if job.is_finished else tail)
        track.was_cached = self._store.cached_job(name) is not None
        self._tracks[name] = track
        self.wake(name)  # it may have changed meanwhile
        return track

    def _forget(self, name: str, track: _Track) -> None:
        if not track.followers and not self._followers_of_all and self._tracks.get(name) is track:
            del self._tracks[name]
            self._wake.set()

    def _start(self) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="live-feed")

    async def _run(self) -> None:
        """Rounds until nobody follows: after a change at once, else at intervals while something runs."""
        while self._tracks or self._followers_of_all:
            is_due = False
            try:
                async with asyncio.timeout(self._interval_seconds if self._running() else None):
                    await self._wake.wait()
            except TimeoutError:
                is_due = True
            self._wake.clear()
            changed, self._dirty = self._dirty, set()
            try:
                await self._look(changed, is_due)
            except Exception:  # one round must not end the feed of all; the next one begins anew
                _logger.exception("the live feed failed, and goes on")

    def _running(self) -> list[str]:
        return [name for name, track in self._tracks.items() if track.tail is not None and track.job.phase in _RUNNING]

    async def _look(self, changed: set[str], is_due: bool) -> None:
        for name in changed - self._tracks.keys():
            job = self._store.cached_job(name)
            if job is not None and self._followers_of_all:
                begun = _Track(job, SeriesTail(self._workspace, job.name, job.uid), was_cached=True)
                self._tracks[name] = begun
                self._publish(begun, [JobChanged(job)])
        wanted = {*(self._running() if is_due else ()), *changed}
        looked = {name: track for name in wanted if (track := self._tracks.get(name)) is not None}
        # State is taken before the files are read: whatever it says has then been written.
        states = {name: self._store.cached_job(name) for name in looked}
        for name, events in (await asyncio.to_thread(_read_all, looked)).items():
            self._tell(looked[name], states[name], events)

    def _tell(self, track: _Track, job: JobView | None, events: Iterable[ProgressEvent]) -> None:
        for event in events:
            track.job = _with_reports(track.job, [event])
            self._publish(track, [JobReported(track.job, event)])
        if job is None and not track.was_cached:
            return
        if job is None or job.uid != track.job.uid:
            self._publish(track, [JobGone(track.job)])
            self._end(track)
            return
        track.was_cached = True
        before = track.job
        stored = job.status.progress
        has_news = stored is not None and is_later(stored, before.status.progress)
        track.job = job if has_news else with_progress(job, before.status.progress)
        if has_news and (track.tail is None or not track.tail.has_file):
            report = report_of(before.status.progress, stored)
            self._publish(track, [JobReported(track.job, report)] if report else [])
        if has_news or not same_but_progress(before, job):
            self._publish(track, [JobChanged(track.job, before)])
        if job.is_finished:
            track.tail = None

    def _publish(self, track: _Track, events: list[LiveEvent]) -> None:
        for event in events:
            for follower in (*track.followers, *self._followers_of_all):
                follower.put(event)

    def _end(self, track: _Track) -> None:
        self._tracks.pop(track.job.name, None)
        for follower in track.followers:
            follower.end()
        if self._store.cached_job(track.job.name) is not None:  # another job has the name now
            self.wake(track.job.name)


_RUNNING = frozenset({Phase.STARTING, Phase.RUNNING})


def _read_all(tracks: dict[str, _Track]) -> dict[str, list[ProgressEvent]]:
    return {name: track.tail.read_new() if track.tail else [] for name, track in tracks.items()}


def _with_reports(job: JobView, events: Sequence[ProgressEvent]) -> JobView:
    """The job as it is where there are none: of thousands that somebody follows, few report."""
    if not events:
        return job
    progress = job.status.progress
    for event in events:
        progress, _ = merge_progress(progress, [], event)
    return with_progress(job, progress)
