"""Jobs of the store become processes, and their end becomes status: with real processes, and no operator."""

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from fettle_client.protocol import CONFIG_MAPS, JOBS, PODS, SECRETS, TRAINING_JOBS, Manifest, ResourceKind
from fettle_local.engine import Engine
from fettle_local.engine_lock import EngineRunningError, engine_lock
from fettle_local.home import Home
from fettle_local.runner.gpus import GpuPool
from fettle_local.store import LocalClient

DEADLINE_SECONDS = 30


class IdleController:
    """An operator that wants nothing."""

    def observe_event(self, event_type: str, manifest: Manifest) -> None:
        pass

    async def run(self, workers: int) -> None:
        await asyncio.Event().wait()


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path / "home", tmp_path / "cache")
    home.create()
    return home


@pytest.fixture
async def client(home: Home) -> AsyncIterator[LocalClient]:
    client = LocalClient(home.store)
    yield client
    await client.close()


@contextlib.asynccontextmanager
async def running_engine(client: LocalClient, home: Home, gpus: GpuPool | None = None) -> AsyncIterator[None]:
    task = asyncio.create_task(Engine(client, home, IdleController(), gpus or GpuPool(list)).run())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def job(script: str, name: str = "demo-a1", pod: dict[str, Any] | None = None, **container: Any) -> Manifest:
    mounts = [{"name": "workspace", "mountPath": "/workspace"}, {"name": "tmp", "mountPath": "/tmp"}]
    volumes = [
        {"name": "workspace", "persistentVolumeClaim": {"claimName": "fettle-workspace"}},
        {"name": "tmp", "emptyDir": {}},
    ]
    body = {
        "name": "trainer",
        "image": "local",
        "command": ["python", "-c", textwrap.dedent(script)],
        "volumeMounts": mounts,
        "env": [{"name": "MESSAGE_FILE", "value": "/dev/termination-log"}, {"name": "HOME", "value": "/tmp"}],
        **container,
    }
    spec = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 5,
        "containers": [body],
        "volumes": volumes,
        **(pod or {}),
    }
    ignore = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "backoffLimit": 0,
            "podFailurePolicy": {"rules": [ignore]},
            "template": {"metadata": {"labels": {"app": name}}, "spec": spec},
        },
    }


async def until(
    client: LocalClient, kind: ResourceKind, holds: Callable[[list[Manifest]], Any], labels: str | None = None
) -> list[Manifest]:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            items = (await client.list(kind, None, labels)).items
            if holds(items):
                return items
            await asyncio.sleep(0.05)


def condition(manifest: Manifest, kind: str) -> dict[str, Any]:
    conditions = (manifest.get("status") or {}).get("conditions", [])
    found: dict[str, Any] = next((item for item in conditions if item["type"] == kind), {})
    return found


def is_finished(items: list[Manifest]) -> bool:
    return bool(items) and all(condition(item, "Complete") or condition(item, "Failed") for item in items)


def has_phase(phase: str) -> Callable[[list[Manifest]], bool]:
    return lambda pods: any((pod.get("status") or {}).get("phase") == phase for pod in pods)


def terminated(pod: Manifest) -> dict[str, Any]:
    state: dict[str, Any] = pod["status"]["containerStatuses"][0]["state"]["terminated"]
    return state


def log_of(home: Home, pod: Manifest) -> str:
    return (home.pod_directory(pod["metadata"]["name"], pod["metadata"]["uid"]) / "log.txt").read_text()


async def test_a_job_runs_to_completion(client: LocalClient, home: Home) -> None:
    script = """
        import json, os, pathlib, sys
        pathlib.Path(os.environ["MESSAGE_FILE"]).write_text("all is well")
        pathlib.Path(sys.argv[2], "made").write_text(pathlib.Path(sys.argv[1]).read_text())
        print("hello from", os.environ["HOME"], os.environ["TOKEN"], os.environ.get("FETTLE_HOME"))
    """
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"TOKEN": "t0ken"}}
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"run.json": "{}"}}
    await client.create(SECRETS, secret)
    await client.create(CONFIG_MAPS, config)
    manifest = job(script, args=["/etc/fettle/run.json", "/workspace"], envFrom=[{"secretRef": {"name": "s"}}])
    spec = manifest["spec"]["template"]["spec"]
    spec["volumes"].append({"name": "run", "configMap": {"name": "c"}})
    spec["containers"][0]["volumeMounts"].append({"name": "run", "mountPath": "/etc/fettle", "readOnly": True})
    await client.create(JOBS, manifest)
    async with running_engine(client, home):
        (done,) = await until(client, JOBS, is_finished)
    assert condition(done, "Complete")["status"] == "True"
    assert done["status"]["succeeded"] == 1
    (pod,) = (await client.list(PODS, None, "app=demo-a1")).items
    assert pod["status"]["phase"] == "Succeeded"
    assert terminated(pod)["message"] == "all is well"
    assert (home.workspace / "made").read_text() == "{}"
    assert log_of(home, pod).split()[-2:] == ["t0ken", "None"]
    assert str(home.pods) in log_of(home, pod)


async def test_an_exit_code_fails_the_job(client: LocalClient, home: Home) -> None:
    await client.create(JOBS, job("import sys; sys.exit(65)"))
    async with running_engine(client, home):
        (done,) = await until(client, JOBS, is_finished)
    assert condition(done, "Failed")["reason"] == "BackoffLimitExceeded"
    (pod,) = (await client.list(PODS, None)).items
    assert (terminated(pod)["exitCode"], terminated(pod)["reason"]) == (65, "Error")


async def test_a_command_that_does_not_exist_is_127(client: LocalClient, home: Home) -> None:
    await client.create(JOBS, job("", command=["no-such-command"]))
    async with running_engine(client, home):
        await until(client, JOBS, is_finished)
    (pod,) = (await client.list(PODS, None)).items
    assert terminated(pod)["exitCode"] == 127
    assert "no-such-command" in log_of(home, pod)


@pytest.mark.parametrize(
    ("handler", "exit_code"),
    [("lambda *a: sys.exit(85)", 85), ("signal.SIG_IGN", 137)],
    ids=["stops when asked", "is killed after the grace period"],
)
async def test_deleting_a_job_stops_its_process_first(
    client: LocalClient, home: Home, handler: str, exit_code: int
) -> None:
    script = f"""
        import signal, sys, time
        signal.signal(signal.SIGTERM, {handler})
        open("/workspace/ready".replace("/workspace", sys.argv[1]), "w").close()
        time.sleep(600)
    """
    manifest = job(script, args=["/workspace"], pod={"terminationGracePeriodSeconds": 1})
    await client.create(JOBS, manifest)
    async with running_engine(client, home):
        version = (await client.list(PODS, None)).resource_version
        await until(client, PODS, lambda _: (home.workspace / "ready").exists())
        await client.delete(JOBS, "demo-a1", "default", propagation="Foreground")
        assert (await client.get(JOBS, "demo-a1", "default"))["metadata"]["deletionTimestamp"]
        await until(client, JOBS, lambda jobs: not jobs)
    codes = []
    async with asyncio.timeout(DEADLINE_SECONDS):
        async for event in client.watch(PODS, None, version):
            if (event.manifest.get("status") or {}).get("phase") == "Failed":
                codes.append(terminated(event.manifest)["exitCode"])
            if event.type == "DELETED":
                break
    assert set(codes) == {exit_code}
    assert list(home.pods.iterdir()) == []


@pytest.mark.parametrize(
    ("pod", "message"),
    [
        ({"hostNetwork": True}, "spec.hostNetwork"),
        ({"initContainers": [{"name": "x"}]}, "spec.initContainers"),
        ({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}, "spec.volumes[0].hostPath"),
        ({"restartPolicy": "Always"}, "spec.restartPolicy"),
    ],
)
async def test_what_is_not_known_is_refused_by_name(
    client: LocalClient, home: Home, pod: dict[str, Any], message: str
) -> None:
    await client.create(JOBS, job("", pod=pod))
    async with running_engine(client, home):
        (found,) = await until(client, PODS, has_phase("Failed"))
        await until(client, JOBS, is_finished)
    assert found["status"]["reason"] == "PodRefused"
    assert message in found["status"]["message"]


async def test_gpus_that_are_not_there_leave_the_pod_unschedulable(client: LocalClient, home: Home) -> None:
    await client.create(JOBS, job("", resources={"limits": {"nvidia.com/gpu": "2"}}))
    async with running_engine(client, home):
        (pod,) = await until(client, PODS, lambda pods: pods and condition(pods[0], "PodScheduled"))
        assert condition(pod, "PodScheduled")["reason"] == "Unschedulable"
        assert "spec.resources.gpusPerNode" in condition(pod, "PodScheduled")["message"]
        await client.delete(JOBS, "demo-a1", "default")
        await until(client, PODS, lambda pods: not pods)


async def test_gpus_are_given_to_one_pod_at_a_time(client: LocalClient, home: Home) -> None:
    script = "import os, time; print(os.environ['CUDA_VISIBLE_DEVICES']); time.sleep(0.3)"
    for name in ("one-a1", "two-a1"):
        await client.create(JOBS, job(script, name, resources={"limits": {"nvidia.com/gpu": 1}}))
    async with running_engine(client, home, GpuPool(lambda: ["GPU-0"])):
        await until(client, JOBS, is_finished)
    pods = (await client.list(PODS, None)).items
    assert [log_of(home, pod) for pod in pods] == ["GPU-0\n", "GPU-0\n"]
    first, second = sorted(pods, key=lambda pod: terminated(pod)["startedAt"])
    assert terminated(first)["finishedAt"] <= terminated(second)["startedAt"]


async def test_a_pod_waits_for_its_config_map(client: LocalClient, home: Home) -> None:
    manifest = job("")
    manifest["spec"]["template"]["spec"]["volumes"].append({"name": "run", "configMap": {"name": "late"}})
    mount = {"name": "run", "mountPath": "/etc/fettle"}
    manifest["spec"]["template"]["spec"]["containers"][0]["volumeMounts"].append(mount)
    await client.create(JOBS, manifest)
    async with running_engine(client, home):
        (pod,) = await until(client, PODS, has_phase("Pending"))
        waiting = pod["status"]["containerStatuses"][0]["state"]["waiting"]
        assert waiting["reason"] == "CreateContainerConfigError"
        assert "late" in waiting["message"]
        await client.create(CONFIG_MAPS, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}})
        (done,) = await until(client, JOBS, is_finished)
    assert condition(done, "Complete")


_FIRST_STOPS = """
    import pathlib, signal, sys, time
    ready = pathlib.Path(sys.argv[1], "ready")
    if ready.exists():
        sys.exit(0)
    signal.signal(signal.SIGTERM, lambda *a: sys.exit(85))
    ready.touch()
    time.sleep(600)
"""


async def test_a_stopped_engine_leaves_a_disrupted_pod_and_the_next_replaces_it(
    client: LocalClient, home: Home
) -> None:
    await client.create(JOBS, job(_FIRST_STOPS, args=["/workspace"]))
    async with running_engine(client, home):
        await until(client, PODS, lambda _: (home.workspace / "ready").exists())
    (pod,) = (await client.list(PODS, None)).items
    assert terminated(pod)["exitCode"] == 85
    assert condition(pod, "DisruptionTarget")["reason"] == "EngineStopped"
    async with running_engine(client, home):
        (done,) = await until(client, JOBS, is_finished)
    assert condition(done, "Complete")
    assert len((await client.list(PODS, None)).items) == 2


_ENGINE = """
import asyncio, pathlib, sys
from fettle_local.engine import Engine
from fettle_local.home import Home
from fettle_local.runner.gpus import GpuPool
from fettle_local.store import LocalClient

class IdleController:
    def observe_event(self, event_type, manifest):
        pass

    async def run(self, workers):
        await asyncio.Event().wait()

home = Home(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[1]))
asyncio.run(Engine(LocalClient(home.store), home, IdleController(), GpuPool(list)).run())
"""

_FIRST_SLEEPS = """
    import os, pathlib, subprocess, sys, time
    pids = pathlib.Path(sys.argv[1], "pids")
    if pids.exists():
        sys.exit(0)
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    pids.with_suffix(".partial").write_text(f"{os.getpid()} {child.pid} {os.getppid()}")
    pids.with_suffix(".partial").rename(pids)
    time.sleep(600)
"""


@pytest.mark.parametrize("kill_shim_too", [False, True])
async def test_a_killed_engine_takes_its_processes_along_and_the_next_continues(
    client: LocalClient, home: Home, kill_shim_too: bool
) -> None:
    await client.create(JOBS, job(_FIRST_SLEEPS, args=["/workspace"]))
    engine = await asyncio.create_subprocess_exec(sys.executable, "-c", _ENGINE, str(home.path))
    pids_file = home.workspace / "pids"
    await until(client, PODS, lambda pods: pids_file.exists() and has_phase("Running")(pods))
    engine.send_signal(signal.SIGSTOP if kill_shim_too else signal.SIGKILL)
    pids = [int(pid) for pid in pids_file.read_text().split()]
    if kill_shim_too:
        os.kill(pids[2], signal.SIGKILL)
        engine.kill()
    await engine.wait()
    async with running_engine(client, home):
        (done,) = await until(client, JOBS, is_finished)
    assert condition(done, "Complete")
    pods = (await client.list(PODS, None)).items
    disrupted = [pod for pod in pods if condition(pod, "DisruptionTarget")]
    assert (len(pods), len(disrupted)) == (2, 1)
    deadline = time.monotonic() + DEADLINE_SECONDS
    while not all(_is_gone(pid) for pid in pids):
        assert time.monotonic() < deadline, pids
        await asyncio.sleep(0.05)


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


async def test_progress_of_a_run_reaches_status(client: LocalClient, home: Home) -> None:
    spec = {"baseModel": {"path": "m"}, "dataset": {"source": {"workspace": {"path": "d"}}}}
    training_job = await client.create(
        TRAINING_JOBS,
        {"apiVersion": "fettle.dev/v1alpha1", "kind": "TrainingJob", "metadata": {"name": "demo"}, "spec": spec},
    )
    uid = training_job["metadata"]["uid"]
    script = """
        import json, pathlib, sys, time
        pathlib.Path(sys.argv[1]).mkdir(parents=True)
        time.sleep(0.2)
        with open(sys.argv[1] + "/metrics.jsonl", "w") as file:
            for step in (1, 2, 3):
                event = {"time": "2026-01-01T00:00:00Z", "attempt": 1, "stage": "training", "step": step}
                print(json.dumps({**event, "totalSteps": 4, "loss": 1 / step}), file=file, flush=True)
            path = "jobs/x/attempts/1/checkpoints/checkpoint-3"
            checkpoint = {"name": "checkpoint-3", "step": 3, "attempt": 1, "path": path}
            event = {"time": "2026-01-01T00:00:00Z", "attempt": 1, "kind": "checkpoint", "checkpoint": checkpoint}
            print(json.dumps(event), file=file)
    """
    directory = f"/workspace/jobs/demo-{uid.replace('-', '')[:8]}"
    manifest = job(script, args=[directory])
    labels = manifest["spec"]["template"]["metadata"]["labels"]
    labels |= {"fettle.dev/training-job": "demo", "fettle.dev/training-job-uid": uid}
    await client.create(JOBS, manifest)
    async with running_engine(client, home):
        (found,) = await until(client, TRAINING_JOBS, lambda jobs: "checkpoints" in jobs[0].get("status", {}))
    assert found["status"]["progress"]["summary"] == "3/4"
    assert found["status"]["progress"]["loss"] == pytest.approx(1 / 3, abs=1e-3)
    assert [checkpoint["step"] for checkpoint in found["status"]["checkpoints"]] == [3]


async def test_one_engine_for_each_home(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other", tmp_path / "cache")
    other.create()
    with (
        engine_lock(home),
        engine_lock(other),
        pytest.raises(EngineRunningError, match=f"pid {os.getpid()}"),
        engine_lock(home),
    ):
        pass
    with engine_lock(home):
        pass
