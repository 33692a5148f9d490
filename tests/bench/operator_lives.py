"""How many writes a job costs the API server from submit to success, counted by a proxy before the operator."""

import asyncio
from pathlib import Path

from fettle_client.kubernetes import KubernetesClient
from tests.bench.figures import Figure
from tests.bench.operator_world import new_namespace, operator
from tests.faults.cast import Cast
from tests.faults.proxy import Faults, FaultyProxy, upstream
from tests.faults.recorder import Recorder

LIVES = 20
_GOAL = 8


async def writes(client: KubernetesClient, kubeconfig: Path, scratch: Path) -> list[Figure]:
    """Twenty jobs that run and succeed, side by side; their pods first wait for a node, as any pod does."""
    namespace = await new_namespace(client)
    stories = {f"job-{number:02}": "succeeds" for number in range(LIVES)}
    cast, recorder = Cast(client, namespace, stories, seed=0), Recorder(client)
    recorder.listen(namespace, cast.hear)
    async with recorder.recording(), upstream(kubeconfig) as server:
        proxy = FaultyProxy(server, Faults())
        async with proxy.serve():
            through = server.kubeconfig_for(proxy.url, scratch / "proxy.kubeconfig")
            with operator(through, scratch / "lives.log", namespace) as process:
                await process.first_answer("/healthz")
                async with asyncio.TaskGroup() as acts:
                    acts.create_task(cast.play())
                    await asyncio.sleep(0)  # it hears of pods before the first is there
                    await cast.submit()
    counts = [proxy.writes[name] for name in stories]
    events = proxy.asked["POST", "events"] / LIVES
    mean = sum(counts) / LIVES
    spread = f"{min(counts)} … {max(counts)}; beside them {events:.1f} Events"
    return [
        Figure(
            "writes of the operator for a job that succeeds",
            f"{mean:.1f}",
            spread,
            LIVES,
            "at most 8",
            max(counts) <= _GOAL,
        )
    ]
