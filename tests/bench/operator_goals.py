"""`make bench-operator`: the operator as a process of its own on a real API server; the result is a section of
docs/benchmarks.md.

BURST, ROUNDS, JOBS, LIVE, IDLE_SECONDS and REPORT_SECONDS in the environment make it smaller, to try it.
"""

import asyncio
import os
import tempfile
import time
from pathlib import Path

from fettle_client.kubernetes import connect
from tests.bench import operator_burst, operator_lives, operator_reports, operator_scale
from tests.bench.facade_world import world
from tests.bench.figures import Figure, add, table
from tests.bench.operator_filling import fill_ended, run_pods, submit_live
from tests.bench.operator_world import make_claim, operator
from tests.bench.report import machine_and_versions, write_section
from tests.cluster.control_plane import GARBAGE
from tests.support.api_server import api_server, install_crds

JOB_COUNT = int(os.environ.get("JOBS", "10000"))
LIVE_COUNT = int(os.environ.get("LIVE", "1000"))
_SIZES = ("BURST", "ROUNDS", "JOBS", "LIVE", "IDLE_SECONDS", "REPORT_SECONDS")


def main() -> None:
    """Measure all goals, print a table and write it into the report."""
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as folder:
        scratch = Path(folder)
        with api_server(scratch / "first") as kubeconfig:
            add(figures, asyncio.run(a_life(kubeconfig, scratch)))
        add(figures, asyncio.run(operator_burst.bursts(scratch)))
        with api_server(scratch / "second") as kubeconfig:
            figures += asyncio.run(at_scale(kubeconfig, scratch))
    setting = (
        f"kube-apiserver, etcd, Job controller and scheduler 1.35.4 on the same machine, {GARBAGE}; "
        f"{JOB_COUNT:,} TrainingJobs"
    )
    machine = machine_and_versions("kopf", "kubernetes", "aiohttp", "pydantic")
    text = "\n".join([*trial_note(), table(figures), "", f"{setting}, {LIVE_COUNT:,} of them running. {machine}", ""])
    print(text)
    write_section("The operator", text)


def trial_note() -> list[str]:
    """What a reader must know of a run that was made smaller."""
    changed = [f"{name}={os.environ[name]}" for name in _SIZES if name in os.environ]
    return [f"**A trial of this size: {' '.join(changed)}.** The goals are for the whole size.", ""] if changed else []


async def a_life(kubeconfig: Path, scratch: Path) -> list[Figure]:
    """What one job costs."""
    client = await connect(str(kubeconfig))
    try:
        await install_crds(client)
        return await operator_lives.writes(client, kubeconfig, scratch)
    finally:
        await client.close()


async def at_scale(kubeconfig: Path, scratch: Path) -> list[Figure]:
    """Many jobs for a long time."""
    figures: list[Figure] = []
    workspace = scratch / "workspace"
    workspace.mkdir()
    async with world(kubeconfig, workspace) as found:
        client, namespace = found.client, found.namespace
        await make_claim(client, namespace)
        begin = time.monotonic()
        await fill_ended(client, namespace, range(JOB_COUNT - LIVE_COUNT))
        print(f"{JOB_COUNT - LIVE_COUNT:,} ended jobs in {time.monotonic() - begin:.0f} s", flush=True)
        with operator(kubeconfig, scratch / "first.log", namespace):
            pods = asyncio.create_task(run_pods(client, namespace, LIVE_COUNT))
            await submit_live(client, namespace, range(LIVE_COUNT))
            running = await pods
            await operator_scale.all_run(client, namespace, LIVE_COUNT)
        print(f"{LIVE_COUNT:,} running jobs in {time.monotonic() - begin:.0f} s", flush=True)
        add(figures, await operator_scale.restarts(client, kubeconfig, scratch, namespace, LIVE_COUNT))
        with operator(kubeconfig, scratch / "second.log", namespace) as process:
            await process.first_answer("/healthz")
            add(figures, await operator_scale.idleness(process))
            add(figures, await operator_reports.reports(client, found, running))
    return figures


if __name__ == "__main__":
    main()
