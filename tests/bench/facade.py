"""`make bench-facade`: the facade as a process of its own, on a real API server that holds thousands of TrainingJobs.

Loads come from processes of their own too, on the loopback interface, and what is measured beside the facade is
measured in the same run. The result is a section of docs/benchmarks.md.
"""

import asyncio
import os
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from tests.bench import facade_reads, facade_transfers
from tests.bench.facade_filling import fill, write_results
from tests.bench.facade_world import World, world
from tests.bench.figures import Figure, add, table
from tests.bench.report import machine_and_versions, write_section
from tests.support.api_server import api_server

JOB_COUNT = int(os.environ.get("JOBS", "10000"))
_SHOWN = 500
"""Of how many of the newest jobs there are files: pages show the newest ones."""


def main() -> None:
    """Measure all goals, print a table and write it into the report."""
    with tempfile.TemporaryDirectory(prefix="fettle-bench-") as scratch:
        workspace = Path(scratch) / "workspace"
        workspace.mkdir()
        with api_server(Path(scratch) / "cluster") as kubeconfig:
            figures = asyncio.run(measure(kubeconfig, workspace))
    machine = machine_and_versions("fastapi", "uvicorn", "pydantic", "aiohttp", "kubernetes")
    setting = f"{JOB_COUNT:,} TrainingJobs, 90 % of them ended, on kube-apiserver and etcd of the same machine."
    text = "\n".join([table(figures), "", f"{setting} {machine}", ""])
    print(text)
    write_section("The facade", text)


async def measure(kubeconfig: Path, workspace: Path) -> list[Figure]:
    """All lines of the report."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    figures: list[Figure] = []
    async with world(kubeconfig, workspace) as found:
        uids = await prepare(found)
        add(figures, await facade_reads.starts(found, environment, JOB_COUNT))
        with ExitStack() as stack:
            facade = facade_reads.start_facade(stack, found, environment, "facade")
            await facade.first_answer(facade_reads.PAGE)
            add(figures, await facade_reads.job_status(found, facade, JOB_COUNT))
            add(figures, await facade_reads.pages(found, facade))
            add(figures, await facade_transfers.sockets(found, facade, uids[0]))
            add(figures, await facade_transfers.uploads(found, facade, environment))
    return figures


async def prepare(found: World) -> dict[int, str]:
    """The jobs; their uids."""
    begin = time.monotonic()
    uids = await fill(found.client, found.namespace, JOB_COUNT)
    write_results(found.workspace, uids, range(max(0, JOB_COUNT - _SHOWN), JOB_COUNT))
    print(f"{JOB_COUNT:,} jobs in {time.monotonic() - begin:.0f} s", flush=True)
    return uids


if __name__ == "__main__":
    main()
