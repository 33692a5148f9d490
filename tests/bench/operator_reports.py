"""A thousand running jobs that report every five seconds: how the receiver answers, and what it writes."""

import asyncio
import json
import os
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

from fettle_api.progress.reports import WRITES_PER_SECOND
from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import TRAINING_JOBS, Manifest, ResourceKind
from fettle_schema.names import progress_audience
from tests.bench.facade_process import run_program
from tests.bench.facade_reads import start_facade
from tests.bench.facade_world import World, count_requests
from tests.bench.figures import Figure, milliseconds, percentile
from tests.bench.operator_filling import report_success
from tests.bench.operator_world import each
from tests.support.fake_kubelet import run_result
from tests.support.polling import eventually

REPORT_SECONDS = float(os.environ.get("REPORT_SECONDS", "90"))
_EVERY_SECONDS = 5.0
_ENDINGS = 10
_LOAD = "tests.bench.facade_load"


async def reports(client: KubernetesClient, found: World, pods: dict[str, Manifest]) -> list[Figure]:
    """Each job with the token of its own pod; some of them end meanwhile, some afterwards."""
    jobs = sorted(pods)
    tokens = await _tokens(client, found.namespace, pods)
    quiet = await _endings(client, found.namespace, {job: pods[job] for job in jobs[:_ENDINGS]})
    reporting = jobs[2 * _ENDINGS :]
    with ExitStack() as stack:
        facade = start_facade(stack, found, {**os.environ, "PYTHONUNBUFFERED": "1"}, "receiver")
        await facade.first_answer("/healthz")
        plan: dict[str, Any] = {
            "urls": [facade.url + _path(found.namespace, job) for job in reporting],
            "tokens": [tokens[job] for job in reporting],
            "per_second": len(reporting) / _EVERY_SECONDS,
            "seconds": REPORT_SECONDS,
        }
        first = await run_program(_LOAD, {**plan, "seconds": _EVERY_SECONDS}, 120)
        await asyncio.sleep(len(reporting) / WRITES_PER_SECOND)  # the first step of each is written at once
        before, cpu, begin = await _status_writes(found), facade.cpu_seconds, time.monotonic()
        load = asyncio.create_task(run_program(_LOAD, plan, REPORT_SECONDS + 120))
        await asyncio.sleep(REPORT_SECONDS / 2)
        busy = await _endings(client, found.namespace, {job: pods[job] for job in jobs[_ENDINGS : 2 * _ENDINGS]})
        outcome = await load
        seconds = time.monotonic() - begin
        written = (await _status_writes(found) - before - _ENDINGS) / seconds
        share = (facade.cpu_seconds - cpu) / seconds
    p99 = percentile(outcome["seconds"], 0.99)
    what = f"{len(reporting)} running jobs report every 5 s: an answer"
    return [
        _answers("the first report of each to a new receiver, all within 5 s: an answer", first),
        replace(_answers(what, outcome), goal="p99 < 50 ms", is_met=p99 < 0.05 and not outcome["failures"]),
        Figure("status writes meanwhile", f"{written:.0f}/s", "", None, "at most 60/s", written <= 60),
        Figure("the receiver's CPU meanwhile", f"{share:.0%} of a core"),
        Figure("a run ends until its job has a verdict, nobody reports", f"max {max(quiet):.2f} s", "", len(quiet)),
        Figure(
            "the same while all report",
            f"max {max(busy):.2f} s",
            "",
            len(busy),
            remark=f"÷ {max(busy) / max(quiet):.2f}",
        ),
    ]


def _answers(what: str, outcome: dict[str, Any]) -> Figure:
    seconds, failed = outcome["seconds"], outcome["failures"]
    spread = f"p50 {milliseconds(percentile(seconds, 0.5))}, max {milliseconds(max(seconds))}"
    spread += f"; {len(failed)} failed: {failed[0]}" if failed else ""
    return Figure(what, f"p99 {milliseconds(percentile(seconds, 0.99))}", spread, len(seconds))


def _path(namespace: str, job: str) -> str:
    return f"/progress/v1/namespaces/{namespace}/trainingjobs/{job}/attempts/1"


async def _tokens(client: KubernetesClient, namespace: str, pods: dict[str, Manifest]) -> dict[str, str]:
    """What the kubelet would project into each pod."""
    kind = ResourceKind("v1", "TokenRequest", "serviceaccounts/default/token")
    jobs, tokens = sorted(pods), {}

    async def one(number: int) -> None:
        job = jobs[number]
        pod = pods[job]["metadata"]
        reference = {"apiVersion": "v1", "kind": "Pod", "name": pod["name"], "uid": pod["uid"]}
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "metadata": {"namespace": namespace},
            "spec": {"audiences": [progress_audience(namespace, job, 1)], "boundObjectRef": reference},
        }
        tokens[job] = str((await client.create(kind, request))["status"]["token"])

    await each(range(len(jobs)), one)
    return tokens


async def _endings(client: KubernetesClient, namespace: str, pods: dict[str, Manifest]) -> list[float]:
    """Seconds from what the kubelet says about a pod to the verdict of its job, one after another."""
    seconds = []
    for job, pod in pods.items():
        begin = time.monotonic()
        result = run_result()
        result["output"] = {**result["output"], "path": f"adapters/{job}/abababababab"}
        await report_success(client, pod, json.dumps(result))

        async def is_over(job: str = job) -> bool:
            status = (await client.get(TRAINING_JOBS, job, namespace)).get("status") or {}
            return status.get("phase") == "Succeeded"

        await eventually(is_over, f"{job} has succeeded", 300, 0.05)
        seconds.append(time.monotonic() - begin)
    return seconds


async def _status_writes(found: World) -> int:
    return count_requests(await found.metrics(), "APPLY", TRAINING_JOBS.plural)
