"""What `make bench-facade` measures of sockets and uploads: each function gives the lines for one goal."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fettle_client.protocol import TRAINING_JOBS
from fettle_schema.names import FIELD_MANAGER_RECEIVER
from tests.bench.facade_filling import series_file
from tests.bench.facade_jobs import job_name, progress, progress_line
from tests.bench.facade_process import ServerProcess, free_port, run_program, server_process, start_program
from tests.bench.facade_world import World
from tests.bench.figures import Figure, megabytes, milliseconds, percentile

CLIENTS = 500
UPDATES = 20
UPDATE_SECONDS = 1.0
"""Between two updates."""
UPLOAD_BYTES = 500_000_000
_SETTLE_SECONDS = 3.0
_DEADLINE_SECONDS = 60.0

Update = Callable[[int], Awaitable[None]]


async def sockets(world: World, facade: ServerProcess, uid: str) -> list[Figure]:
    """Many clients on the job that runs: steps that are written into its status, then steps in its file."""
    name, file = job_name(0), series_file(world.workspace, 0, uid)

    async def write_status(step: int) -> None:
        status = {"progress": progress(step, datetime.now(UTC))}
        await world.client.apply_status(TRAINING_JOBS, name, world.namespace, status, FIELD_MANAGER_RECEIVER)

    async def write_line(step: int) -> None:
        with file.open("a") as series:
            series.write(progress_line(step, datetime.now(UTC)))

    url = f"{facade.url.replace('http', 'ws', 1)}/merlina/ws/{name}"
    figures, idle, first = [], facade.resident_bytes, 1
    for what, update in (("a step in the job's status", write_status), ("a step in its metrics.jsonl", write_line)):
        figures.append(await _followed(f"{CLIENTS} WebSocket clients, {what}", url, update, first))
        first += UPDATES
    grown = facade.resident_bytes - idle
    return [*figures, Figure(f"memory for {CLIENTS} clients", megabytes(grown))]


async def _followed(what: str, url: str, update: Update, first: int) -> Figure:
    program = await start_program("tests.bench.facade_sockets")
    assert program.stdin is not None
    assert program.stdout is not None
    try:
        program.stdin.write(json.dumps({"url": url, "clients": CLIENTS}).encode() + b"\n")
        async with asyncio.timeout(_DEADLINE_SECONDS):
            await program.stdout.readline()
        written, begin = dict[int, float](), time.monotonic()
        for number in range(UPDATES):
            await asyncio.sleep(max(0.0, begin + number * UPDATE_SECONDS - time.monotonic()))
            written[first + number] = time.monotonic()
            await update(first + number)
        await asyncio.sleep(_SETTLE_SECONDS)
        lasted = time.monotonic() - begin
        async with asyncio.timeout(_DEADLINE_SECONDS):
            output, _ = await program.communicate(b"")  # its end of input
    finally:
        if program.returncode is None:
            program.kill()
            await program.wait()
    return _delays(what, written, json.loads(output), lasted)


def _delays(what: str, written: dict[int, float], found: dict[str, Any], lasted: float) -> Figure:
    arrivals: dict[str, list[float]] = found["arrivals"]
    delays = [arrival - time for step, time in written.items() for arrival in arrivals.get(str(step), [])]
    missing = CLIENTS * len(written) - len(delays)
    if not delays:
        raise SystemExit(f"{what}: nothing arrived at all")
    measured = f"p99 {milliseconds(percentile(delays, 0.99))}, max {milliseconds(max(delays))}"
    spread = f"p50 {milliseconds(percentile(delays, 0.5))}; clients at {found['cpu_seconds'] / lasted:.0%} of a core"
    spread += f"; {missing} never came" if missing else ""
    return Figure(what, measured, spread, len(delays), "max < 1 s", max(delays) < 1 and not missing)


async def uploads(world: World, facade: ServerProcess, environment: dict[str, str]) -> list[Figure]:
    """One file to the facade, and to a plain application that does the same."""
    what = f"upload of {megabytes(UPLOAD_BYTES)}"
    ours, seconds = await _uploaded(facade, f"{facade.url}/ainode/api/datasets/upload", what, "< 100 MB")
    directory = world.workspace.parent / "peer"
    directory.mkdir()
    with ExitStack() as stack:
        port = free_port()
        peer = _start_peer(stack, directory, environment, port)
        await peer.first_answer("/")
        theirs, peer_seconds = await _uploaded(peer, f"{peer.url}/upload", "a plain FastAPI `UploadFile`", "")
    ratio = f"ours ÷ its: time {seconds / peer_seconds:.2f}"
    return [ours, Figure(theirs.what, theirs.measured, theirs.spread, remark=ratio)]


def _start_peer(stack: ExitStack, directory: Path, environment: dict[str, str], port: int) -> ServerProcess:
    variables = {**environment, "TMPDIR": str(directory)}
    arguments, log = [str(port), str(directory)], directory.with_suffix(".log")
    return stack.enter_context(server_process("tests.bench.facade_peer", arguments, variables, port, log))


async def _uploaded(server: ServerProcess, url: str, what: str, goal: str) -> tuple[Figure, float]:
    idle = server.resident_bytes
    server.forget_peak()
    found = await run_program("tests.bench.facade_upload", {"url": url, "size_bytes": UPLOAD_BYTES}, 180)
    growth, seconds = server.peak_bytes - idle, found["seconds"]
    spread = f"peak {megabytes(server.peak_bytes)}; {seconds:.1f} s, {UPLOAD_BYTES / 1e6 / seconds:.0f} MB/s"
    return Figure(f"{what}: memory above idle", megabytes(growth), spread, 1, goal, growth < 100e6), seconds
