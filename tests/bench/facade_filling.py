"""Puts the jobs of `make bench-facade` where a facade finds them: on the API server, and files in the workspace."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from fettle_client.protocol import TRAINING_JOBS, ResourceClient
from fettle_schema.layout import METRICS_FILE, RESULT_FILE, attempt_directory
from fettle_schema.names import FIELD_MANAGER_OPERATOR, job_directory
from tests.bench.facade_jobs import STEPS, is_ended, job_name, status_of, training_job

_AT_ONCE = 24


async def fill(client: ResourceClient, namespace: str, count: int) -> dict[int, str]:
    """Create all jobs with their status, some at a time; their uids by number."""
    numbers, uids = iter(range(count)), dict[int, str]()
    async with asyncio.TaskGroup() as workers:
        for _ in range(_AT_ONCE):
            workers.create_task(_fill_from(client, namespace, numbers, uids))
    return uids


async def _fill_from(client: ResourceClient, namespace: str, numbers: Iterator[int], uids: dict[int, str]) -> None:
    for number in numbers:
        created = await client.create(TRAINING_JOBS, training_job(number, namespace))
        uids[number] = created["metadata"]["uid"]
        status = status_of(number, uids[number])
        await client.apply_status(TRAINING_JOBS, job_name(number), namespace, status, FIELD_MANAGER_OPERATOR)


def write_results(workspace: Path, uids: dict[int, str], numbers: Iterable[int]) -> None:
    """`result.json` of those that have ended: a page of jobs reads them."""
    result = {"exitCode": 0, "step": STEPS, "metrics": {"loss": 0.41, "trainSeconds": 2820.0, "tokens": 10_748_112}}
    for number in filter(is_ended, numbers):
        directory = workspace / attempt_directory(job_name(number), uids[number], 1)
        directory.mkdir(parents=True)
        (directory / RESULT_FILE).write_text(json.dumps(result))


def series_file(workspace: Path, number: int, uid: str) -> Path:
    """`metrics.jsonl` of a job, in a directory that exists."""
    directory = workspace / job_directory(job_name(number), uid)
    directory.mkdir(parents=True, exist_ok=True)
    return directory / METRICS_FILE
