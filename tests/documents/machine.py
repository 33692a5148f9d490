"""The edge to a running `fettle up`: jobs that must exist before a sample can run, and what became of jobs."""

import asyncio
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle_client.protocol import TRAINING_JOBS, Manifest
from fettle_local.home import Home
from fettle_local.store import LocalClient
from fettle_schema.manifests import dump_manifest
from fettle_schema.names import ANNOTATION_ORIGINAL_ID
from tests.support.polling import eventually

FETTLE = (sys.executable, "-c", "from fettle_local.cli import main; main()")
FINAL_PHASES = ("Succeeded", "Failed", "Cancelled")

_JOB_SECONDS = 180.0


class MachineError(Exception):
    """This machine cannot run the check."""


@dataclass(frozen=True)
class Machine:
    """A running `fettle up`."""

    home: Home
    scratch: Path
    """Where samples run: `my_dataset.jsonl` lies there."""
    client: LocalClient
    log: Path

    async def apply(self, *manifests: Manifest) -> None:
        """`fettle apply`."""
        process = await asyncio.create_subprocess_exec(
            *(*FETTLE, "apply", "-f", "-"),
            env={**os.environ, "FETTLE_HOME": str(self.home.path)},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate("---\n".join(map(dump_manifest, manifests)).encode())
        if process.returncode:
            raise MachineError(f"fettle apply: {output.decode()}")

    async def job(self, job_id: str) -> Manifest | None:
        """The TrainingJob that a dialect, or its manifest, calls so."""
        for job in (await self.client.list(TRAINING_JOBS, "default")).items:
            if job_id in (job["metadata"]["name"], job["metadata"].get("annotations", {}).get(ANNOTATION_ORIGINAL_ID)):
                return job
        return None

    async def delete(self, job_id: str) -> None:
        """Take a job away: nobody hears of its end."""
        job = await self.job(job_id)
        if job is not None:
            await self.client.delete(TRAINING_JOBS, job["metadata"]["name"], "default")

    async def wait(self, job_id: str, *phases: str, with_loss: bool = False, seconds: float = _JOB_SECONDS) -> Manifest:
        """Until the job is in one of these phases. Fails with what it is in."""
        found: Manifest = {}

        async def is_there() -> bool:
            found.update(await self.job(job_id) or {})
            status = found.get("status") or {}
            has_loss = (status.get("progress") or {}).get("loss") is not None
            return status.get("phase") in phases and (has_loss or not with_loss)

        try:
            await eventually(is_there, f"{job_id} is {' or '.join(phases)}", seconds)
        except AssertionError as error:
            raise MachineError(f"{error}; it is {found.get('status', {}).get('phase')}") from error
        return found

    def show_gpus(self, has_gpus: bool) -> None:
        """Whether the driver's tool tells of two GPUs."""
        switch = self.scratch / "bin/nvidia-smi.on"
        switch.touch() if has_gpus else switch.unlink(missing_ok=True)


def training_job(
    name: str,
    *,
    steps: int,
    report_every: int = 10,
    evaluates: bool = True,
    annotations: Mapping[str, str] | None = None,
    **spec: Any,
) -> Manifest:
    """A job that fine-tunes one layer of the tiny model: 500 steps of all of it would take a minute."""
    dataset: dict[str, Any] = {"source": {"workspace": {"path": "datasets/messages"}}}
    values: dict[str, Any] = {"maxSteps": steps, "batchSize": 1, "maxLength": 128, "loggingSteps": report_every}
    values["gradientCheckpointing"] = False
    if evaluates:
        dataset["evaluation"] = {"fraction": 0.1}
        values["evaluationSteps"] = report_every
    return {
        "apiVersion": "fettle.dev/v1alpha1",
        "kind": "TrainingJob",
        "metadata": {"name": name, "annotations": dict(annotations or {})},
        "spec": {
            "baseModel": {"path": "models/tiny"},
            "dataset": dataset,
            "adapter": {"rank": 4, "targetModules": ["q_proj"]},
            "hyperparameters": values,
            "resources": {"gpusPerNode": 0},
            **spec,
        },
    }
