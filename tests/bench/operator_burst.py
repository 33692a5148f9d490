"""How long it takes until a thousand jobs that were created at once have their Jobs: ours, and Kubeflow Trainer's."""

import asyncio
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path

from fettle_client.kubernetes import KubernetesClient, connect
from fettle_client.protocol import TRAINING_JOBS, Manifest, ResourceKind
from tests.bench import kubeflow_trainer
from tests.bench.facade_process import ServerProcess
from tests.bench.figures import Figure, megabytes
from tests.bench.operator_world import arrivals, create_all, new_namespace, operator
from tests.support.api_server import api_server, install_crds
from tests.support.fake_kubelet import training_job

COUNT = int(os.environ.get("BURST", "1000"))
ROUNDS = int(os.environ.get("ROUNDS", "3"))
_WITHIN_SECONDS = 900.0
_GOAL_SECONDS = 15.0
_NEW_CRD_SECONDS = 3.0
"""For two seconds after a CRD was established the API server lets every creation of its kind wait for two seconds (so
that replicas of it agree); no installation is that young."""


class Burst:
    """What one program took, round by round."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.created: list[float] = []
        self.cpu: list[float] = []
        self.resident = 0

    async def measure(
        self,
        client: KubernetesClient,
        kind: ResourceKind,
        build: Callable[[str, str], Manifest],
        namespace: str,
        processes: list[ServerProcess],
    ) -> None:
        """One round in a fresh namespace."""
        manifests = [build(f"job-{number:05}", namespace) for number in range(COUNT)]
        await asyncio.sleep(_NEW_CRD_SECONDS)
        cpu = sum(process.cpu_seconds for process in processes)
        async with arrivals(client, namespace) as seen:
            begin = time.monotonic()
            await create_all(client, kind, manifests)
            self.created.append(time.monotonic() - begin)
            self.seconds.append(await seen.all(COUNT, _WITHIN_SECONDS) - begin)
        self.cpu.append(sum(process.cpu_seconds for process in processes) - cpu)
        self.resident = max(self.resident, sum(process.resident_bytes for process in processes))


async def bursts(scratch: Path) -> list[Figure]:
    """A new API server for each round. Each has it for itself meanwhile, and is the second on it every other time."""
    ours, peer = Burst(), Burst()
    for number in range(ROUNDS):
        folder = scratch / f"round-{number}"
        folder.mkdir()
        with api_server(folder / "server") as kubeconfig:
            client = await connect(str(kubeconfig))
            await install_crds(client)
            turns = [(_measure_ours, ours), (_measure_peer, peer)]
            for measure, burst in turns if number % 2 == 0 else reversed(turns):
                await measure(client, kubeconfig, folder, burst)
            await client.close()
    return [
        _line(
            f"{COUNT:,} TrainingJobs at once until all Jobs exist", ours, "< 15 s", max(ours.seconds) < _GOAL_SECONDS
        ),
        _line(f"{kubeflow_trainer.VERSION}: {COUNT:,} TrainJobs", peer),
        comparison(ours.seconds, peer.seconds),
    ]


async def _measure_ours(client: KubernetesClient, kubeconfig: Path, folder: Path, burst: Burst) -> None:
    namespace = await new_namespace(client)
    with operator(kubeconfig, folder / "operator.log", namespace) as process:
        await process.first_answer("/healthz")
        await burst.measure(client, TRAINING_JOBS, _ours, namespace, [process])


async def _measure_peer(client: KubernetesClient, kubeconfig: Path, folder: Path, burst: Burst) -> None:
    async with kubeflow_trainer.running(client, kubeconfig, folder) as processes:
        namespace = await new_namespace(client)
        await burst.measure(client, kubeflow_trainer.TRAIN_JOBS, kubeflow_trainer.train_job, namespace, processes)


def comparison(ours: list[float], peer: list[float]) -> Figure:
    """Of the medians."""
    ratio = statistics.median(ours) / statistics.median(peer)
    return Figure("ours ÷ its", f"{ratio:.2f}", count=len(ours), goal="at most 1/3", is_met=ratio <= 1 / 3)


def _line(what: str, burst: Burst, goal: str = "", is_met: bool | None = None) -> Figure:
    spread = f"{min(burst.seconds):.1f} … {max(burst.seconds):.1f} s"
    cpu = f"created in {statistics.median(burst.created):.1f} s, CPU {statistics.median(burst.cpu):.1f} s"
    remark = f"{spread}; {cpu}, memory {megabytes(burst.resident)}"
    return Figure(what, f"median {statistics.median(burst.seconds):.1f} s", remark, len(burst.seconds), goal, is_met)


def _ours(name: str, namespace: str) -> Manifest:
    manifest = training_job(name)
    manifest["metadata"]["namespace"] = namespace
    return manifest
