"""A node that falls silent, or is taken out of the cluster, under a run: a preemption and no failure. On a cluster of
its own, with the operator outside of it.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cluster import Cluster
from tests.cluster.credentials import NODE_NAME
from tests.e2e.chronicle import Chronicle
from tests.e2e.fates import UNTIL_ASKED, cheap_job, once
from tests.e2e.installation import CLAIM
from tests.support.api_server import CRD_FOLDER
from tests.support.operator_process import OperatorProcesses

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

NAMESPACE = "lonely"
SETTINGS = {"FETTLE_LOST_POD_SECONDS": "5", "FETTLE_SOURCE_CHECK_SECONDS": "1"}
MINUTES = 300
"""The cluster itself takes most of a minute to give up the pods of a Node that is gone."""


@pytest.fixture(scope="module")
def cluster(images: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One node, and an operator that does not depend on it."""
    cluster = Cluster(tmp_path_factory.mktemp("lonely"))
    cluster.up(node=True)
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    trainer = {"FETTLE_TRAINER_IMAGE": images["operator"]}  # any image with a shell, and this one is small
    processes = OperatorProcesses(cluster.kubeconfig, NAMESPACE, log, **SETTINGS, **trainer)
    try:
        cluster.load(images["operator"])
        cluster.kubectl("create", "-f", str(CRD_FOLDER / "trainingjobs.yaml"), "-f", str(CRD_FOLDER / "adapters.yaml"))
        cluster.kubectl("create", "namespace", NAMESPACE)
        cluster.kubectl("label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce=restricted")
        apply(cluster, claim())
        processes.start()
        yield cluster
    finally:
        processes.stop_all()
        print(processes.log[-8000:])
        cluster.down()


@pytest.fixture
def chronicle(cluster: Cluster, tmp_path: Path) -> Iterator[Chronicle]:
    with Chronicle(cluster, tmp_path) as chronicle:
        yield chronicle


def claim() -> dict[str, object]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": CLAIM}, "spec": spec}


def apply(cluster: Cluster, manifest: dict[str, object]) -> None:
    cluster.kubectl("apply", f"--namespace={NAMESPACE}", "-f", "-", stdin=yaml.safe_dump(manifest))


def pod_of(cluster: Cluster, job: str) -> str:
    """The name of the newest pod."""
    selector = f"--selector=fettle.dev/training-job={job}"
    listed = json.loads(cluster.kubectl("get", "pods", f"--namespace={NAMESPACE}", selector, "-o", "json"))
    pods = sorted(listed["items"], key=lambda pod: str(pod["metadata"]["creationTimestamp"]))
    return str(pods[-1]["metadata"]["name"])


def test_a_pod_that_cannot_be_ended_is_given_up(cluster: Cluster, chronicle: Chronicle) -> None:
    apply(cluster, cheap_job("silent", once("silent", UNTIL_ASKED)))
    chronicle.wait("silent", "Running")
    cluster.stop_kubelet()
    try:
        cluster.kubectl("delete", "pod", pod_of(cluster, "silent"), f"--namespace={NAMESPACE}", "--wait=false")
        lost = chronicle.wait_until("silent", lambda status: (status.get("attempts") or {}).get("preemptions") == 1)
    finally:
        cluster.start_kubelet()
    assert "(NodeLost)" in lost["message"]
    status = chronicle.wait("silent", "Succeeded", seconds=MINUTES)
    assert (status["attempts"]["current"], status["attempts"]["failures"]) == (2, 0)


def test_a_run_outlives_its_node(cluster: Cluster, chronicle: Chronicle) -> None:
    apply(cluster, cheap_job("bereft", once("bereft", UNTIL_ASKED)))
    chronicle.wait("bereft", "Running")
    cluster.stop_kubelet()
    try:
        cluster.kubectl("delete", "node", NODE_NAME)
        waiting = chronicle.wait("bereft", "Starting/Unschedulable", seconds=MINUTES)
    finally:
        cluster.start_kubelet()
    assert "no nodes available" in waiting["message"]
    status = chronicle.wait("bereft", "Succeeded", seconds=MINUTES)
    assert (status["attempts"]["preemptions"], status["attempts"]["failures"]) == (1, 0)
