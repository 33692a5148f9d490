"""The process: settings, client, leadership, Kopf and workers, and their orderly end. The table of contents."""

import asyncio
import logging
import os
import signal
import socket
import uuid
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any

import kopf

from fettle_client.garbage import collect_rarely
from fettle_client.kubernetes import connect
from fettle_client.protocol import ResourceClient
from fettle_operator.controller import Controller
from fettle_operator.handlers import build_registry, build_settings
from fettle_operator.health import HealthServer
from fettle_operator.leader import LeaderElector, LeaseTimes
from fettle_operator.logs import configure
from fettle_operator.metrics import Metrics
from fettle_operator.settings import OperatorSettings

_log = logging.getLogger(__name__)

EXIT_LEADERSHIP_LOST = 1


def main() -> None:
    """Run until SIGTERM, or until leadership is lost."""
    settings = OperatorSettings()
    collect_rarely()
    configure(settings.log_level, settings.log_format)
    asyncio.run(serve(settings))


async def serve(settings: OperatorSettings) -> None:
    """Stand by, lead, stop."""
    stop = asyncio.Event()
    _stop_on_signals(stop)
    client = await connect(user_agent="fettle-operator")
    metrics = Metrics()
    controller = Controller(client, settings, lambda: datetime.now(UTC), metrics)
    elector = _elector(client, settings)
    health = HealthServer(
        metrics,
        is_ready=lambda: not elector.is_leading or controller.synced.is_set(),
        role=lambda: "leader" if elector.is_leading else "standby",
    )
    port = await health.start(settings.http_port)
    _log.info("listening on port %d", port)
    try:
        if await _before(elector.acquire(), stop):
            metrics.is_leader.set(1)
            await _lead(controller, elector, settings, stop)
            await elector.release()
    finally:
        await health.stop()
        await client.close()


async def _lead(
    controller: Controller, elector: LeaderElector, settings: OperatorSettings, stop: asyncio.Event
) -> None:
    """Work as long as the lease is held. Without it the process ends at once: another may have it soon."""
    hold = asyncio.create_task(elector.hold())
    hold.add_done_callback(_exit_at_once)
    try:
        await _work(controller, settings, stop)
    finally:
        hold.remove_done_callback(_exit_at_once)
        hold.cancel()


async def _work(controller: Controller, settings: OperatorSettings, stop: asyncio.Event) -> None:
    """Workers and Kopf until `stop`; the workers end first, Kopf's end cancels what it does not know."""
    kopf_stop = asyncio.Event()
    work = asyncio.create_task(controller.run())
    watch = asyncio.create_task(_watch(controller, settings, kopf_stop, stop))
    stopped = asyncio.create_task(stop.wait())
    await asyncio.wait({work, watch, stopped}, return_when=asyncio.FIRST_COMPLETED)
    was_asked = stop.is_set()
    _log.info("stopping")
    stopped.cancel()
    controller.stop()
    await work
    kopf_stop.set()
    await watch
    _log.info("stopped")
    if not was_asked:
        raise RuntimeError("workers or Kopf ended although nobody asked them to")


async def _watch(
    controller: Controller, settings: OperatorSettings, kopf_stop: asyncio.Event, stop: asyncio.Event
) -> None:
    if not await _before(_wait(controller.synced), stop):  # Kopf looks for resource kinds once: they must be there
        return
    existing = asyncio.all_tasks()
    namespaces = settings.watch_namespaces
    tasks = await kopf.spawn_tasks(
        registry=build_registry(controller),
        settings=build_settings(),
        clusterwide=not namespaces,
        namespaces=namespaces,
        stop_flag=kopf_stop,
    )
    _stop_on_signals(stop)  # Kopf has put its own handlers there
    await kopf.run_tasks(tasks, ignored=existing)


def _elector(client: ResourceClient, settings: OperatorSettings) -> LeaderElector:
    times = LeaseTimes(
        settings.lease_duration_seconds, settings.lease_renew_deadline_seconds, settings.lease_retry_seconds
    )
    identity = f"{socket.gethostname()}_{uuid.uuid4()}"
    return LeaderElector(client, settings.lease_namespace, settings.lease_name, identity, times)


async def _before(work: Coroutine[Any, Any, None], stop: asyncio.Event) -> bool:
    """Run `work` until it is done (True) or the process is to stop (False)."""
    tasks = {asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())}
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in pending:
        task.cancel()
    for task in done:
        task.result()
    return not stop.is_set()


async def _wait(event: asyncio.Event) -> None:
    await event.wait()


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)


def _exit_at_once(_: object) -> None:
    _log.critical("exiting: leadership lost")
    logging.shutdown()
    os._exit(EXIT_LEADERSHIP_LOST)
