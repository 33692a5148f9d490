"""The operator's process on a real API server with real Job and garbage collection controllers."""

import signal

from fettle_client.protocol import ADAPTERS, CONFIG_MAPS, EVENTS, JOBS, LEASES, PODS, TRAINING_JOBS
from tests.support.fake_kubelet import DIGEST, run_result
from tests.support.operator_process import Namespace, OperatorProcesses, kill
from tests.support.polling import eventually


async def test_a_job_becomes_an_adapter_and_its_children_are_collected(
    world: Namespace, processes: OperatorProcesses
) -> None:
    process = processes.start()
    await world.submit()
    await world.reaches("Starting")
    await world.pod()
    await world.reaches("Starting", reason="Unschedulable")
    await world.pod_runs()
    await world.reaches("Running")
    await world.pod_ends(0, run_result())
    status = await world.reaches("Succeeded")
    assert status["message"] == "trained 150 steps; adapter demo"
    adapter = await world.adapter()
    assert adapter is not None
    assert adapter["spec"]["digest"] == DIGEST
    assert adapter["status"]["phase"] == "Available"

    async def is_told() -> bool:
        events = await world.client.list(EVENTS, world.name, field_selector="involvedObject.kind=TrainingJob")
        return {"Running", "Succeeded"} <= {event["message"].split(":")[0] for event in events.items}

    await eventually(is_told, "each change of phase has an event")
    await world.client.delete(TRAINING_JOBS, "demo", world.name)

    async def collected() -> bool:
        own_maps = [name for name in await world.names(CONFIG_MAPS) if name.startswith("demo-")]
        return not (own_maps or await world.names(JOBS) or await world.names(PODS))

    await eventually(collected, "children are collected")
    assert await world.names(ADAPTERS) == ["demo"]
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 0
    assert "Traceback" not in processes.log
    lease = await world.client.get(LEASES, "fettle-operator", world.name)
    assert not lease["spec"].get("holderIdentity")


async def test_a_failed_run_is_repeated_and_a_final_one_is_not(world: Namespace, processes: OperatorProcesses) -> None:
    processes.start()
    await world.submit()
    await world.pod_ends(75)
    await world.pod_ends(71, attempt=2)
    status = await world.reaches("Failed")
    assert status["failure"]["code"] == "LossNotFinite"
    assert status["attempts"]["failures"] == 1
    assert await world.names(JOBS) == ["demo-a1", "demo-a2"]


async def test_suspend_and_resume_and_cancel(world: Namespace, processes: OperatorProcesses) -> None:
    processes.start()
    await world.submit()
    await world.pod_runs()
    await world.reaches("Running")
    await world.edit(suspend=True)
    await world.reaches("Suspended")
    assert await world.names(PODS) == []
    await world.edit(suspend=False)
    await world.pod_runs(attempt=2)
    await world.reaches("Running")
    await world.edit(cancel=True)
    await world.reaches("Cancelled")
    assert await world.names(JOBS) == []


async def test_killed_at_any_moment_there_is_one_job_one_adapter_and_the_right_verdict(
    world: Namespace, processes: OperatorProcesses
) -> None:
    kill(processes.start())
    await world.submit()
    kill(processes.start())
    process = processes.start()
    await world.reaches("Starting")
    kill(process)
    process = processes.start()
    await world.pod_runs()
    await world.reaches("Running")
    uids = await world.run_uids()
    kill(process)
    await world.pod_ends(0, run_result())
    process = processes.start()

    async def has_adapter() -> bool:
        return await world.adapter() is not None

    await eventually(has_adapter, "the Adapter exists")
    kill(process)
    processes.start()
    await world.reaches("Succeeded")
    assert await world.run_uids() == uids
    assert list(uids) == ["demo-a1"]
    assert await world.names(ADAPTERS) == ["demo"]


async def test_of_two_replicas_one_leads_and_the_other_takes_over(
    world: Namespace, processes: OperatorProcesses
) -> None:
    first = processes.start()
    await eventually(lambda: _says(processes, "leading", 1), "the first leads")
    second = processes.start()
    await world.submit()
    await world.pod_runs()
    await world.reaches("Running")
    assert processes.log.count("message=leading") == 1
    kill(first)
    await eventually(lambda: _says(processes, "leading", 2), "the second leads")
    await world.pod_ends(0, run_result())
    await world.reaches("Succeeded")
    assert second.poll() is None


async def _says(processes: OperatorProcesses, message: str, count: int) -> bool:
    return processes.log.count(f"message={message}") >= count
