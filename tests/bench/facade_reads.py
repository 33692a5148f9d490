"""What `make bench-facade` measures of starts and reads: each function gives the lines for one goal."""

import random
import statistics
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from tests.bench.facade_jobs import job_name
from tests.bench.facade_process import ServerProcess, free_port, run_program, server_process
from tests.bench.facade_world import World
from tests.bench.figures import Figure, megabytes, milliseconds, percentile

STARTS = 3
STATUS_PER_SECOND = 200.0
STATUS_SECONDS = 30.0
PAGES_PER_SECOND = 10.0
PAGE_SECONDS = 20.0
PAGE = "/v1/fine_tuning/jobs?limit=50"
HISTORY = "/merlina/jobs/history?limit=50"
_LOAD = "tests.bench.facade_load"


def start_facade(stack: ExitStack, world: World, environment: dict[str, str], name: str) -> ServerProcess:
    """`python -m fettle_api`, which ends with `stack`."""
    port = free_port()
    variables = {
        **environment,
        "KUBECONFIG": str(world.kubeconfig),
        "FETTLE_API_NAMESPACE": world.namespace,
        "FETTLE_API_WORKSPACE": str(world.workspace),
        "FETTLE_API_PORT": str(port),
        "FETTLE_API_DIALECT_PORTS": "{}",
    }
    log = world.workspace.parent / f"{name}.log"
    return stack.enter_context(server_process("fettle_api", [], variables, port, log))


async def starts(world: World, environment: dict[str, str], job_count: int) -> list[Figure]:
    """From the command to the first answer about a job, and to the first page, which needs all jobs; memory then."""
    answers, first_pages, cpu, resident, peaks = [], [], [], [], []
    for number in range(STARTS):
        with ExitStack() as stack:
            facade = start_facade(stack, world, environment, f"start-{number}")
            answers.append(await facade.first_answer(_status_path(job_count - 1, 0)))
            first_pages.append(await facade.first_answer(PAGE))
            cpu.append(facade.cpu_seconds)
            resident.append(facade.resident_bytes)
            peaks.append(facade.peak_bytes)
    held = f"peak until then {megabytes(min(peaks))} … {megabytes(max(peaks))}"
    return [
        _start(f"start to the first job's status, {job_count:,} jobs", answers),
        _start("start to the first page of jobs, which needs all of them", first_pages),
        Figure("the facade's CPU until then", f"median {statistics.median(cpu):.2f} s", count=STARTS),
        Figure("memory then", megabytes(max(resident)), held, STARTS, "< 300 MB", max(peaks) < 300e6),
    ]


def _start(what: str, seconds: list[float]) -> Figure:
    spread = f"{min(seconds):.2f} … {max(seconds):.2f} s"
    return Figure(what, f"median {statistics.median(seconds):.2f} s", spread, STARTS, "< 5 s", max(seconds) < 5)


async def job_status(world: World, facade: ServerProcess, job_count: int) -> list[Figure]:
    """Jobs by id at 200 a second, by three dialects in turns; beside it the API server asked for the same."""
    chosen = random.Random(0).choices(range(job_count), k=1000)
    ours = [_status_path(number, turn) for turn, number in enumerate(chosen)]
    plan = {"urls": [facade.url + path for path in ours], "per_second": STATUS_PER_SECOND, "seconds": STATUS_SECONDS}
    cpu = facade.cpu_seconds
    found = await run_program(_LOAD, plan, STATUS_SECONDS + 60)
    share = (facade.cpu_seconds - cpu) / STATUS_SECONDS
    direct = world.direct_plan("")
    direct["urls"] = [f"{direct['urls'][0]}/{job_name(number)}" for number in chosen]
    rate = {"per_second": STATUS_PER_SECOND, "seconds": STATUS_SECONDS / 2}
    peer = await run_program(_LOAD, {**direct, **rate}, STATUS_SECONDS + 60)
    what = f"job status at {STATUS_PER_SECOND:.0f} requests/s"
    return [
        _latency(what, found, "p99 < 20 ms", 0.020),
        _latency("the API server asked for the same jobs", peer, remark=_ratio(found, peer)),
        Figure("the facade's CPU meanwhile", f"{share:.0%} of a core"),
    ]


def _status_path(number: int, turn: int) -> str:
    name = job_name(number)
    ainode_id = name[1:] if name[0] == "j" else name
    paths = (f"/ainode/api/training/jobs/{ainode_id}", f"/merlina/status/{name}", f"/v1/fine_tuning/jobs/{name}")
    return paths[turn % len(paths)]


async def pages(world: World, facade: ServerProcess) -> list[Figure]:
    """A page of 50 jobs, and how often the API server had to list its own."""
    rate = {"per_second": PAGES_PER_SECOND, "seconds": PAGE_SECONDS}
    before = await world.list_requests()
    cursor = await run_program(_LOAD, {"urls": [facade.url + PAGE], **rate}, PAGE_SECONDS + 60)
    history = await run_program(_LOAD, {"urls": [facade.url + HISTORY], **rate}, PAGE_SECONDS + 60)
    lists = await world.list_requests() - before
    peer = await run_program(_LOAD, {**world.direct_plan("?limit=50"), **rate}, PAGE_SECONDS + 60)
    return [
        _latency("a page of 50 jobs, `/v1`", cursor, "p99 < 50 ms", 0.050),
        _latency("a page of 50 jobs, `/merlina`", history, "p99 < 50 ms", 0.050),
        _latency("the API server asked for 50 jobs", peer, remark=_ratio(cursor, peer)),
        Figure("lists of TrainingJobs at the API server meanwhile", str(lists), goal="0", is_met=lists == 0),
    ]


def _latency(what: str, found: dict[str, Any], goal: str = "", limit: float = 0.0, remark: str = "") -> Figure:
    """A line about answers; one request that failed is enough for no goal to be met."""
    seconds: Sequence[float] = found["seconds"]
    measured = f"p50 {milliseconds(percentile(seconds, 0.5))}, p99 {milliseconds(percentile(seconds, 0.99))}"
    late = percentile(found["delays"], 0.99)
    spread = [f"max {milliseconds(max(seconds))}"]
    spread += [f"{len(found['failures'])} failed: {found['failures'][0]}"] if found["failures"] else []
    spread += [f"sent up to {milliseconds(late)} late (p99) by a client at {found['cpu_share']:.0%} of a core"]
    is_met = percentile(seconds, 0.99) < limit and not found["failures"] if goal else None
    return Figure(what, measured, "; ".join(spread), len(seconds), goal, is_met, remark)


def _ratio(ours: dict[str, Any], peer: dict[str, Any]) -> str:
    values = [percentile(ours["seconds"], share) / percentile(peer["seconds"], share) for share in (0.5, 0.99)]
    return f"ours ÷ its: p50 {values[0]:.2f}, p99 {values[1]:.2f}"
