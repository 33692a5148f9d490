"""What ten thousand TrainingJobs cost the operator: to start again beside them, and to have nothing to do."""

import asyncio
import os
import statistics
import time
from functools import partial
from pathlib import Path

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import TRAINING_JOBS
from tests.bench.facade_process import ServerProcess
from tests.bench.figures import Figure, megabytes
from tests.bench.operator_filling import live_name, submit_live
from tests.bench.operator_world import arrivals, operator
from tests.support.polling import eventually

STARTS = 3
IDLE_SECONDS = float(os.environ.get("IDLE_SECONDS", "310"))
"""A little more than the time between two resyncs."""
_GOAL_SECONDS = 5.0
_GOAL_BYTES = 300e6
_GOAL_SHARE = 0.02


async def restarts(
    client: KubernetesClient, kubeconfig: Path, scratch: Path, namespace: str, first: int
) -> list[Figure]:
    """From the command until it is ready, and until a job that was created while it was away has its Job."""
    ready, working, peaks = [], [], []
    for number in range(first, first + STARTS):
        await submit_live(client, namespace, range(number, number + 1))
        async with arrivals(client, namespace) as seen:
            with operator(kubeconfig, scratch / f"restart-{number}.log", namespace) as process:
                ready.append(await process.first_answer("/healthz"))
                name = f"{live_name(number)}-a1"
                await eventually(partial(_is_in, name, seen.times), f"{name} exists", 300, 0.02)
                working.append(seen.times[name] - process.started_at)
                await rest(process)
                peaks.append(process.peak_bytes)
    return [
        _seconds("restart until it answers", ready, "", None),
        _seconds("restart until a job that waited has its Job", working, "< 5 s", max(working) < _GOAL_SECONDS),
        Figure(
            "memory, the most since the start", megabytes(max(peaks)), "", STARTS, "< 300 MB", max(peaks) < _GOAL_BYTES
        ),
    ]


async def idleness(process: ServerProcess) -> list[Figure]:
    """CPU of an operator that has nothing to do, a resync included."""
    await rest(process)
    cpu, begin = process.cpu_seconds, time.monotonic()
    await asyncio.sleep(IDLE_SECONDS)
    share = (process.cpu_seconds - cpu) / (time.monotonic() - begin)
    return [
        Figure("idle", f"{share:.1%} of a core", f"over {IDLE_SECONDS:.0f} s", goal="< 2 %", is_met=share < _GOAL_SHARE)
    ]


async def rest(process: ServerProcess) -> None:
    """Wait until the operator has used no CPU worth mentioning for some seconds."""

    async def is_at_rest() -> bool:
        before = process.cpu_seconds
        await asyncio.sleep(3)
        return process.cpu_seconds - before < 0.1

    await eventually(is_at_rest, "the operator comes to rest", within_seconds=600, every_seconds=0.1)


async def all_run(client: KubernetesClient, namespace: str, count: int) -> None:
    """Wait until so many jobs run."""

    async def is_so() -> bool:
        listed = await client.list(TRAINING_JOBS, namespace, field_selector="status.phase=Running")
        return len(listed.items) >= count

    await eventually(is_so, f"{count} jobs run", within_seconds=900, every_seconds=2)


async def _is_in(name: str, times: dict[str, float]) -> bool:
    return name in times


def _seconds(what: str, seconds: list[float], goal: str, is_met: bool | None) -> Figure:
    spread = f"{min(seconds):.2f} … {max(seconds):.2f} s"
    return Figure(what, f"median {statistics.median(seconds):.2f} s", spread, len(seconds), goal, is_met)
