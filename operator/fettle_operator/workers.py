"""A worker of a queue: takes keys through a pass, counts what came of it, and has failed ones tried again."""

import logging
import time
from collections.abc import Awaitable, Callable, Hashable
from typing import TypeVar

from fettle_client.protocol import ApiError, ConflictError
from fettle_operator.logs import fields
from fettle_operator.metrics import Metrics
from fettle_operator.workqueue import WorkQueue

_log = logging.getLogger(__name__)
K = TypeVar("K", bound=Hashable)


async def work(
    queue: WorkQueue[K],
    handle: Callable[[K], Awaitable[bool]],
    metrics: Metrics,
    about: Callable[[K], dict[str, str]],
) -> None:
    """Until the queue is closed. `handle` is one pass, True if it changed anything; `about` names a key in logs."""
    while (key := await queue.get()) is not None:
        started = time.perf_counter()
        try:
            outcome = "changed" if await handle(key) else "unchanged"
            queue.forget(key)
        except ConflictError:
            outcome = "conflict"
            queue.retry(key)
        except ApiError as error:
            outcome = "error"
            seconds = queue.retry(key)
            _log.warning("pass failed: %s", error, extra=fields(about(key), retry_seconds=seconds))
        except Exception:  # the edge of the process: one broken resource must not stop the others
            outcome = "error"
            queue.retry(key)
            _log.exception("pass failed", extra=fields(about(key)))
        finally:
            queue.done(key)
        metrics.reconciles.labels(outcome).inc()
        metrics.reconcile_seconds.observe(time.perf_counter() - started)
