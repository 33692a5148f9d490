"""What the real trainer finds wrong, from a pod to the job's status: dataset, model, loss, disk."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster.namespaces import Namespaces
from tests.cluster.processes import run
from tests.e2e.chronicle import Chronicle, Status
from tests.e2e.fates import cheap_job, supervised
from tests.e2e.installation import CLAIM, MODEL_PATH, Installation, training_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[2]
SPOILED = "models/spoiled"
NARROW = "narrow"
ONCE = {"maxRetries": 0}
SPOIL = (
    "import pathlib, sys; from tests.support.tiny_model import spoil_weights; spoil_weights(pathlib.Path(sys.argv[1]))"
)
NO_ANSWER = {"inline": {"examples": ['{"messages": [{"role": "user", "content": "a"}]}']}}


def test_dataset_model_and_loss_are_named(installation: Installation, tmp_path: Path) -> None:
    spoil_a_model(installation)
    jobs = {
        "unanswered": training_job("unanswered", dataset={"source": NO_ANSWER}, limits=ONCE),
        "modelless": training_job("modelless", baseModel={"path": "models/absent"}, limits=ONCE),
        "infinite": training_job("infinite", baseModel={"path": SPOILED}, limits=ONCE),
    }
    with Chronicle(installation.cluster, tmp_path) as chronicle:
        installation.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all(jobs.values()))
        ended = {job: chronicle.wait(job, "Failed", "Succeeded", seconds=600) for job in jobs}
    assert_failed(ended["unanswered"], "DatasetInvalid", "assistant")
    assert_failed(ended["modelless"], "ModelUnavailable", "models/absent")
    assert_failed(ended["infinite"], "LossNotFinite", "step 1")


def test_a_full_workspace_is_named(installation: Installation, tmp_path: Path) -> None:
    cluster = installation.cluster
    cluster.kubectl("create", "namespace", NARROW)
    spec = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
    claim = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": spec}
    cluster.kubectl("create", f"--namespace={NARROW}", "-f", "-", stdin=yaml.safe_dump(claim))
    installation.wait("the volume is there", lambda: cluster.volume_path(NARROW, CLAIM).is_dir())
    assert cluster.slot
    volume = ["-t", "tmpfs", "-o", "size=2m", "narrow", cluster.volume_path(NARROW, CLAIM)]
    run(*Namespaces(cluster.home, cluster.slot).inside("mount", *volume))
    resources = {"cpu": "500m", "memory": "128Mi"}
    job = cheap_job("brimful", runtime=supervised("yes | head -c 8000000"), resources=resources)
    with Chronicle(cluster, tmp_path) as chronicle:
        cluster.kubectl("create", f"--namespace={NARROW}", "-f", "-", stdin=yaml.safe_dump(job))
        status = chronicle.wait("brimful", "Failed", "Succeeded")
    assert_failed(status, "DiskFull", "the disk of the workspace is full")


def assert_failed(status: Status, code: str, words: str) -> None:
    failure = status["failure"]
    assert (status["reason"], failure["code"]) == (code, code), status
    assert words in failure["message"]
    assert failure["hint"]
    assert status["attempts"]["failures"] == 0


def spoil_a_model(installation: Installation) -> None:
    """The tiny model, with a weight that is not a number."""
    target = installation.workspace / SPOILED
    shutil.copytree(installation.workspace / MODEL_PATH, target)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run([sys.executable, "-c", SPOIL, str(target)], check=True, cwd=ROOT, env=environment)
    for path in (target, *target.rglob("*")):
        shutil.chown(path, 65532, 65532)
