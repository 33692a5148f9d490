"""Ten thousand TrainingJobs of which nine thousand have ended, and a thousand whose pods run."""

import asyncio
from datetime import UTC, datetime

from fettle_client.kubernetes import KubernetesClient
from fettle_client.protocol import PODS, TRAINING_JOBS, Manifest, Synced
from fettle_schema.names import FIELD_MANAGER_OPERATOR
from tests.bench.facade_jobs import job_name, status_of, training_job
from tests.bench.operator_world import each
from tests.support import fake_kubelet


async def fill_ended(client: KubernetesClient, namespace: str, numbers: range) -> None:
    """Jobs with the status that an operator has left them with."""

    async def one(number: int) -> None:
        number = number * 10 + 1  # those that have not ended are every tenth
        created = await client.create(TRAINING_JOBS, training_job(number, namespace))
        status = status_of(number, created["metadata"]["uid"])
        await client.apply_status(TRAINING_JOBS, job_name(number), namespace, status, FIELD_MANAGER_OPERATOR)

    await each(numbers, one)


def live_name(number: int) -> str:
    """Of a job that runs."""
    return f"live-{number:04}"


async def submit_live(client: KubernetesClient, namespace: str, numbers: range) -> None:
    """Jobs for the operator to start."""

    async def one(number: int) -> None:
        manifest = fake_kubelet.training_job(live_name(number))
        manifest["metadata"]["namespace"] = namespace
        await client.create(TRAINING_JOBS, manifest)

    await each(numbers, one)


async def run_pods(client: KubernetesClient, namespace: str, count: int) -> dict[str, Manifest]:
    """The kubelet's part until `count` jobs run; their pods by name of the job."""
    pods: dict[str, Manifest] = {}
    acts: set[asyncio.Task[None]] = set()
    async for event in client.observe(PODS, namespace):
        if isinstance(event, Synced) or event.type == "DELETED":
            continue
        job = event.manifest["metadata"]["labels"]["fettle.dev/training-job"]
        if job not in pods:
            pods[job] = event.manifest
            acts.add(asyncio.create_task(report_running(client, event.manifest)))
        if len(pods) == count:
            break
    await asyncio.gather(*acts)
    return pods


async def report_running(client: KubernetesClient, pod: Manifest) -> None:
    """What a kubelet says when the trainer has started."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    await _report(client, pod, "Running", {"running": {"startedAt": now}})


async def report_success(client: KubernetesClient, pod: Manifest, message: str) -> None:
    """What a kubelet says when the trainer has ended."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    state = {"exitCode": 0, "message": message, "startedAt": now, "finishedAt": now}
    await _report(client, pod, "Succeeded", {"terminated": state})


async def _report(client: KubernetesClient, pod: Manifest, phase: str, state: Manifest) -> None:
    container = {"name": "trainer", "image": "fettle-trainer:bench", "imageID": "", "ready": False, "restartCount": 0}
    status = {"phase": phase, "containerStatuses": [{**container, "state": state}]}
    metadata = pod["metadata"]
    await client.apply_status(PODS, metadata["name"], metadata["namespace"], status, "bench-kubelet")
