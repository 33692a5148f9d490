"""A trial passes when the job's own Adapter is there, and otherwise says where it stood."""

import asyncio
from typing import Any

import pytest

from fettle_client.protocol import ADAPTERS, TRAINING_JOBS, Manifest, NotFoundError
from fettle_client.trial import Trial, TrialError
from tests.support.memory_client import MemoryClient
from tests.support.polling import eventually

NAMESPACE = "demo"
JOB: Manifest = {
    "apiVersion": "fettle.dev/v1alpha1",
    "kind": "TrainingJob",
    "metadata": {"name": "trial"},
    "spec": {"method": "sft"},
}


async def job_of(client: MemoryClient) -> Manifest | None:
    try:
        return await client.get(TRAINING_JOBS, "trial", NAMESPACE)
    except NotFoundError:
        return None


async def tried(client: MemoryClient, said: list[str], seconds: float = 30) -> asyncio.Task[None]:
    """A trial that has created its job."""
    task = asyncio.create_task(Trial(client, JOB, NAMESPACE, seconds, said.append, poll_seconds=0.01).run())

    async def is_there() -> bool:
        return "TrainingJob trial created" in said

    await eventually(is_there, "the job is created")
    return task


async def tell(client: MemoryClient, **status: Any) -> None:
    await client.apply_status(TRAINING_JOBS, "trial", NAMESPACE, status, "fettle-operator")


async def make_adapter(client: MemoryClient, uid: str, phase: str = "Available") -> None:
    source = {"trainingJob": "trial", "trainingJobUid": uid}
    spec = {"baseModel": {"id": "models/tiny"}, "source": source, "digest": "sha256:1"}
    metadata = {"name": "trial", "namespace": NAMESPACE}
    await client.create(
        ADAPTERS, {"apiVersion": "fettle.dev/v1alpha1", "kind": "Adapter", "metadata": metadata} | {"spec": spec}
    )
    await client.apply_status(ADAPTERS, "trial", NAMESPACE, {"phase": phase, "message": "why"}, "fettle-operator")


async def test_it_passes_with_the_adapter_and_leaves_no_resource() -> None:
    client, said = MemoryClient(), []
    task = await tried(client, said)
    job = await job_of(client)
    assert job is not None
    await tell(client, phase="Running", progress={"step": 3, "totalSteps": 5})

    async def has_told() -> bool:
        return "Running: step 3 of 5" in said

    await eventually(has_told, "the step is told")
    await make_adapter(client, job["metadata"]["uid"])
    await tell(client, phase="Succeeded")
    await task
    assert said[-1] == "Adapter trial is there: sha256:1"
    assert await job_of(client) is None
    assert (await client.list(ADAPTERS, NAMESPACE)).items == []


async def test_what_an_earlier_trial_left_goes_first() -> None:
    client, said = MemoryClient(), []
    old = await client.create(TRAINING_JOBS, {**JOB, "metadata": {"name": "trial", "namespace": NAMESPACE}})
    task = await tried(client, said)
    job = await job_of(client)
    assert job is not None
    assert job["metadata"]["uid"] != old["metadata"]["uid"]
    task.cancel()


async def test_a_failed_job_is_told_with_its_hint() -> None:
    client, said = MemoryClient(), []
    task = await tried(client, said)
    await tell(client, phase="Failed", failure={"code": "ImagePullFailed", "message": "No image.", "hint": "Push it."})
    with pytest.raises(TrialError, match=r"the job is Failed: ImagePullFailed: No image\. Push it\."):
        await task
    assert await job_of(client) is not None, "a failed job stays, to be looked at"


async def test_an_adapter_of_another_job_does_not_count() -> None:
    client, said = MemoryClient(), []
    task = await tried(client, said)
    await make_adapter(client, "another-uid")
    await tell(client, phase="Succeeded")
    with pytest.raises(TrialError, match=r"another-uid.*not from this job"):
        await task


async def test_an_adapter_that_failed_ends_it() -> None:
    client, said = MemoryClient(), []
    task = await tried(client, said)
    job = await job_of(client)
    assert job is not None
    await make_adapter(client, job["metadata"]["uid"], phase="Failed")
    await tell(client, phase="Succeeded")
    with pytest.raises(TrialError, match="Adapter trial is Failed: why"):
        await task


async def test_a_job_that_nobody_runs_ends_at_the_deadline() -> None:
    said: list[str] = []
    task = await tried(MemoryClient(), said, seconds=0.1)
    with pytest.raises(TrialError, match="waited in vain until it has ended; last: the operator has not seen it yet"):
        await task
