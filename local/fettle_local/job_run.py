"""`fettle run` without its command line: one training job from a manifest to its verdict, watched on the way."""

import asyncio
import contextlib
import logging
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

from fettle_client.protocol import TRAINING_JOBS, GoneError, Manifest, NotFoundError
from fettle_local.engine import create_engine
from fettle_local.engine_lock import EngineRunningError, engine_lock
from fettle_local.home import Home
from fettle_local.store import LocalClient
from fettle_schema.errors import FettleError
from fettle_schema.vocabulary import Phase

_log = logging.getLogger(__name__)


class RunInterruptedError(Exception):
    """The user pressed Ctrl-C; `stopped_engine` tells whether the run was stopped with it or goes on elsewhere."""

    def __init__(self, stopped_engine: bool) -> None:
        super().__init__("interrupted")
        self.stopped_engine = stopped_engine


class EngineFailedError(FettleError):
    """The engine of this process ended by an error of its own."""

    code = "EngineFailed"

    def __init__(self, home: Home) -> None:
        super().__init__(f"the engine failed; {home.path / 'engine.log'} says why. The same command tries again.")


def is_finished(job: Manifest) -> bool:
    """Whether the job has its verdict."""
    phase = (job.get("status") or {}).get("phase")
    return phase is not None and Phase(phase).is_finished


async def run_to_verdict(
    client: LocalClient,
    home: Home,
    job: Manifest,
    show: Callable[[Manifest], None],
    on_interrupt: Callable[[], None] = lambda: None,
) -> Manifest:
    """The job when it has ended. Runs an engine in this process unless the home has one already.

    Raises RunInterruptedError after Ctrl-C, when the run has saved a checkpoint; NotFoundError if the job is deleted.
    """
    following = asyncio.create_task(follow(client, job, show))
    with _interruptible(following, on_interrupt):
        async with _engine(client, home) as engine:
            waited = {following, engine} if engine else {following}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if engine is not None and engine.done() and not following.done():
                following.cancel()
                raise EngineFailedError(home) from engine.exception()
        if following.cancelled():
            raise RunInterruptedError(stopped_engine=engine is not None)
        return following.result()


async def follow(client: LocalClient, job: Manifest, show: Callable[[Manifest], None]) -> Manifest:
    """Call `show` at every change until the job has ended; raises NotFoundError if it is deleted."""
    name, namespace, uid = (job["metadata"][field] for field in ("name", "namespace", "uid"))
    while True:
        job = await client.get(TRAINING_JOBS, name, namespace)
        show(job)
        if is_finished(job):
            return job
        with contextlib.suppress(GoneError):
            selector = f"metadata.name={name}"
            version = job["metadata"]["resourceVersion"]
            async for event in client.watch(TRAINING_JOBS, namespace, version, field_selector=selector):
                if event.type == "DELETED" or event.manifest["metadata"]["uid"] != uid:
                    raise NotFoundError(404, "NotFound", f"training job {name!r} was deleted")
                show(event.manifest)
                if is_finished(event.manifest):
                    return event.manifest


@asynccontextmanager
async def _engine(client: LocalClient, home: Home) -> AsyncIterator[asyncio.Task[None] | None]:
    """An engine for the time of the block, or None where another process is the engine."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(engine_lock(home))
        except EngineRunningError:
            yield None
            return
        engine = asyncio.create_task(create_engine(client, home).run(), name="engine")
        try:
            yield engine
        finally:
            engine.cancel()
            (ended,) = await asyncio.gather(engine, return_exceptions=True)
            if isinstance(ended, Exception):
                _log.error("the engine failed", exc_info=ended)


@contextmanager
def _interruptible(task: asyncio.Task[Manifest], on_interrupt: Callable[[], None]) -> Iterator[None]:
    """SIGINT and SIGTERM cancel `task`; a second one ends this process at once."""
    loop = asyncio.get_running_loop()

    def interrupt() -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        on_interrupt()
        task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
