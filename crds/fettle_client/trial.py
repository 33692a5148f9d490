"""`python -m fettle_client.trial MANIFEST`: runs one TrainingJob to its end and says whether its Adapter is there.

What `helm test` does through an installed operator; a person may give any manifest. It removes what an earlier trial of
the same name has left, and, after a success, its own resources; files in the workspace stay.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

from fettle_client.kubernetes import KubernetesClient, connect
from fettle_client.protocol import ADAPTERS, TRAINING_JOBS, Manifest, NotFoundError, ResourceClient, ResourceKind
from fettle_schema.errors import FettleError
from fettle_schema.manifests import load_manifests

_POLL_SECONDS = 1.0
Answer = TypeVar("Answer")


class TrialError(FettleError):
    """The trial has failed; the message says where it stood."""

    code = "TrialFailed"


class Trial:
    """One TrainingJob, from its creation to its Adapter."""

    def __init__(
        self,
        client: ResourceClient,
        job: Manifest,
        namespace: str,
        timeout_seconds: float,
        say: Callable[[str], None] = print,
        poll_seconds: float = _POLL_SECONDS,
    ) -> None:
        self._client, self._namespace, self._say, self._poll_seconds = client, namespace, say, poll_seconds
        self._job = {**job, "metadata": {**job["metadata"], "namespace": namespace}}
        self._name: str = job["metadata"]["name"]
        self._adapter_name: str = (job["spec"].get("output") or {}).get("adapterName") or self._name
        self._deadline = time.monotonic() + timeout_seconds
        self._last_said = ""

    async def run(self) -> None:
        """Raises TrialError, or what the API server answers."""
        await self._remove()
        created = await self._client.create(TRAINING_JOBS, self._job)
        self._tell(f"TrainingJob {self._name} created")
        job = await self._until("it has ended", self._ended_job)
        if job["status"]["phase"] != "Succeeded":
            raise TrialError(failure_of(job["status"]))
        adapter = await self._until(f"Adapter {self._adapter_name} is available", self._available_adapter)
        if problem := mismatch_of(adapter, created["metadata"]):
            raise TrialError(f"Adapter {self._adapter_name}: {problem}")
        self._tell(f"Adapter {self._adapter_name} is there: {adapter['spec']['digest']}")
        await self._remove()

    async def _ended_job(self) -> Manifest | None:
        job = await self._client.get(TRAINING_JOBS, self._name, self._namespace)
        status = job.get("status") or {}
        self._tell(summary_of(status))
        return job if status.get("phase") in ("Succeeded", "Failed", "Cancelled") else None

    async def _available_adapter(self) -> Manifest | None:
        adapter = await self._find(ADAPTERS, self._adapter_name)
        status = (adapter or {}).get("status") or {}
        if status.get("phase") in ("Failed", "Degraded"):
            raise TrialError(f"Adapter {self._adapter_name} is {status['phase']}: {status.get('message', '')}")
        return adapter if status.get("phase") == "Available" else None

    async def _remove(self) -> None:
        for kind, name in ((TRAINING_JOBS, self._name), (ADAPTERS, self._adapter_name)):
            await self._client.delete(kind, name, self._namespace, propagation="Foreground")

            async def is_gone(kind: ResourceKind = kind, name: str = name) -> bool:
                return await self._find(kind, name) is None

            await self._until(f"{kind.kind} {name} is gone", is_gone)

    async def _find(self, kind: ResourceKind, name: str) -> Manifest | None:
        try:
            return await self._client.get(kind, name, self._namespace)
        except NotFoundError:
            return None

    async def _until(self, what: str, look: Callable[[], Awaitable[Answer | None]]) -> Answer:
        while not (answer := await look()):
            if time.monotonic() > self._deadline:
                raise TrialError(f"waited in vain until {what}; last: {self._last_said or 'nothing happened'}")
            await asyncio.sleep(self._poll_seconds)
        return answer

    def _tell(self, line: str) -> None:
        if line != self._last_said:
            self._say(line)
        self._last_said = line


def summary_of(status: dict[str, Any]) -> str:
    """One line for a person."""
    phase = status.get("phase")
    if phase is None:
        return "the operator has not seen it yet"
    progress = status.get("progress") or {}
    if phase == "Running" and progress.get("step"):
        return f"{phase}: step {progress['step']} of {progress.get('totalSteps', '?')}"
    return f"{phase}: {status.get('message') or status.get('reason') or ''}".rstrip(": ")


def failure_of(status: dict[str, Any]) -> str:
    """Why a job did not succeed, and what to do."""
    failure = status.get("failure") or {}
    said = " ".join(str(failure[part]) for part in ("message", "hint") if failure.get(part))
    return (
        f"the job is {status['phase']}: {failure.get('code') or status.get('reason')}: {said or status.get('message')}"
    )


def mismatch_of(adapter: Manifest, job: dict[str, Any]) -> str | None:
    """Why an Adapter is not the result of this job; None if it is."""
    source = adapter["spec"].get("source") or {}
    if source.get("trainingJob") != job["name"] or source.get("trainingJobUid") not in (None, job["uid"]):
        return f"it comes from {source}, not from this job"
    if not adapter["spec"].get("digest"):
        return "it has no digest"
    return None


async def _run(options: argparse.Namespace) -> None:
    [job] = load_manifests(options.manifest.read_text())
    client: KubernetesClient = await connect(options.kubeconfig, user_agent="fettle-trial")
    try:
        await Trial(client, job, options.namespace, options.timeout_seconds).run()
    finally:
        await client.close()


def main() -> None:
    """Exit code 0 when the Adapter is there."""
    parser = argparse.ArgumentParser(prog="python -m fettle_client.trial", description=__doc__)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("--namespace", required=True)
    parser.add_argument("--timeout-seconds", type=float, default=300)
    parser.add_argument("--kubeconfig", default=None, help="default: the pod's ServiceAccount, or ~/.kube/config")
    try:
        asyncio.run(_run(parser.parse_args()))
    except FettleError as error:
        sys.exit(f"{error.code}: {error}")
    print("passed")


if __name__ == "__main__":
    main()
