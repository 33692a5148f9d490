"""From a training to answers of two engines, and all that can happen to an Adapter on the way, on a real cluster."""

import os
import shutil
from collections.abc import Iterator
from functools import partial

import pytest

from tests.e2e.conftest import NOBODY
from tests.e2e.engines import BASE, ConstantClient, answer, listed, ready_pods, ready_since, start_engines
from tests.e2e.installation import MODEL_PATH, Installation, Manifest, training_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

HELPER = "helper"
REPLICAS = 2


def adapter(installation: Installation, name: str = HELPER) -> Manifest:
    return installation.get("adapter", name) or {}


def phase(installation: Installation, name: str = HELPER) -> str:
    return str((adapter(installation, name).get("status") or {}).get("phase"))


def wait_for_phase(installation: Installation, wanted: str, name: str = HELPER) -> Manifest:
    installation.wait(f"{name} is {wanted}", lambda: phase(installation, name) == wanted)
    return dict(adapter(installation, name)["status"])


def set_loading(installation: Installation, wanted: bool, name: str = HELPER) -> None:
    patch = f'{{"spec":{{"serving":{{"load":{str(wanted).lower()}}}}}}}'
    installation.kubectl("patch", "adapter", name, "--type=merge", "--patch", patch)


def train(installation: Installation, job: str, **spec: object) -> None:
    output = {"adapterName": HELPER, "onConflict": "newVersion"}
    installation.apply(training_job(job, 120, output=output, **spec))
    installation.wait_for_phase(job, "Succeeded", 300)


@pytest.fixture(scope="module")
def engines(installation: Installation, images: dict[str, str]) -> Iterator[None]:
    """Two replicas of the built-in engine, and an Adapter that a run has made."""
    train(installation, "first")
    start_engines(installation, images["trainer"], REPLICAS)
    yield
    installation.kubectl("delete", "deployment,service", "engine")


def test_from_training_to_answers_and_back(installation: Installation, engines: None) -> None:
    assert phase(installation) == "Available"
    addresses = list(ready_pods(installation).values())
    base_answers = {answer(address, BASE) for address in addresses}
    assert len(base_answers) == 1

    set_loading(installation, True)
    status = wait_for_phase(installation, "Loaded")
    assert status["readyPods"] == f"{REPLICAS}/{REPLICAS}"
    assert status["verifiedAt"], "the files were read again before they were loaded"
    first_path = f"/workspace/{status['path']}"
    first_answers = {answer(address, HELPER) for address in addresses}
    assert len(first_answers) == 1
    assert first_answers != base_answers
    assert f"{REPLICAS}/{REPLICAS}" in installation.kubectl("get", "adp", HELPER)

    _a_killed_engine_is_served_again(installation, first_path, first_answers)
    _a_new_version_takes_its_place(installation, first_path)

    set_loading(installation, False)
    wait_for_phase(installation, "Available")
    assert all(listed(address) == {} for address in ready_pods(installation).values())
    installation.kubectl("delete", "adapter", HELPER)
    assert installation.get("adapter", HELPER) is None


def _a_killed_engine_is_served_again(installation: Installation, path: str, answers: set[str]) -> None:
    before = ready_pods(installation)
    victim = next(iter(before))
    installation.kubectl("delete", "pod", victim, "--grace-period=0", "--force")

    def is_served() -> bool:
        pods = ready_pods(installation)
        return len(pods) == REPLICAS and victim not in pods and all(listed(a) == {HELPER: path} for a in pods.values())

    installation.wait("the new pod has the adapter", is_served, seconds=180)
    [new] = set(ready_pods(installation)) - set(before)
    assert answer(ready_pods(installation)[new], HELPER) in answers
    status = wait_for_phase(installation, "Loaded")
    instance = next(one for one in status["instances"] if one["pod"] == new)
    print(f"engine ready at {ready_since(installation, new)}, adapter loaded at {instance['loadedAt']}")


def _a_new_version_takes_its_place(installation: Installation, first_path: str) -> None:
    addresses = list(ready_pods(installation).values())
    with ConstantClient(addresses, HELPER) as client:
        train(installation, "second", hyperparameters={"maxSteps": 160, "batchSize": 4, "learningRate": 0.02})

        def is_swapped() -> bool:
            paths = {path for address in addresses for path in listed(address).values()}
            return len(paths) == 1 and first_path not in paths

        installation.wait("both engines have the second version", is_swapped, seconds=180)
        asked = len(client.answers)
        installation.wait("it is asked some more", lambda: len(client.answers) > asked + 4, seconds=120)
    print(f"{len(client.answers)} requests, {len(client.failures)} failed, while versions were swapped")
    assert client.failures == []
    for address in addresses:
        answers = [text for asked_address, text in client.answers if asked_address == address]
        assert answers[0] != answers[-1]
    status = wait_for_phase(installation, "Loaded")
    assert [version["trainingJob"] for version in status["history"]] == ["second", "first"]


def test_a_file_that_was_changed_is_detected_and_never_loaded(installation: Installation, engines: None) -> None:
    name = "uploaded"
    register(installation, name)
    path = wait_for_phase(installation, "Available", name)["path"]
    change(installation, path)
    set_loading(installation, True, name)
    status = wait_for_phase(installation, "Failed", name)
    assert status["reason"] == "DigestMismatch"
    assert path in status["message"]
    assert all(name not in listed(address) for address in ready_pods(installation).values())
    installation.kubectl("delete", "adapter", name)


def test_a_file_that_was_changed_after_loading_is_not_loaded_again(installation: Installation, engines: None) -> None:
    name = "reloaded"
    register(installation, name)
    set_loading(installation, True, name)
    path = wait_for_phase(installation, "Loaded", name)["path"]
    change(installation, path)
    victim, *kept = ready_pods(installation)
    installation.kubectl("delete", "pod", victim, "--grace-period=0", "--force")
    installation.wait("another engine is ready", lambda: len(set(ready_pods(installation)) - {victim}) == REPLICAS)
    installation.wait("it is told", partial(_is_told, installation, name))
    pods = ready_pods(installation)
    assert {pod: name in listed(address) for pod, address in pods.items()} == {pod: pod in kept for pod in pods}
    installation.kubectl("delete", "adapter", name)
    assert all(name not in listed(address) for address in pods.values())


def _is_told(installation: Installation, name: str) -> bool:
    """By the engine, which looks itself, or by the pod that reads the files before they are loaded."""
    status = adapter(installation, name)["status"]
    return status["phase"] in ("Degraded", "Failed") and "changed after publishing" in status["message"]


def register(installation: Installation, name: str) -> None:
    """Copy the second training's files to where an upload would be, and make an Adapter of them."""
    [published] = sorted((installation.workspace / "adapters" / HELPER).glob("[0-9a-f]*"))[:1]
    upload = installation.workspace / "uploads" / name
    shutil.copytree(published, upload)
    for file in (installation.workspace / "uploads", upload, *upload.iterdir()):
        os.chown(file, NOBODY, NOBODY)
    manifest = f"""
apiVersion: fettle.dev/v1alpha1
kind: Adapter
metadata: {{name: {name}}}
spec:
  baseModel: {{id: {MODEL_PATH}}}
  source: {{workspace: {{path: uploads/{name}}}}}
"""
    installation.kubectl("apply", "-f", "-", stdin=manifest)
    wait_for_phase(installation, "Available", name)


def change(installation: Installation, path: str) -> None:
    """One bit of a published adapter."""
    weights = installation.workspace / path / "adapter_model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
