"""Two pods train one adapter on a real kubelet: they find each other, agree, and go on together after a loss."""

import pytest

from tests.e2e.installation import Installation, training_job
from tests.e2e.outcomes import weights

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

STEPS = 240
"""Enough for a pod to be deleted after the first checkpoint and before the end, also on fast machines."""
TWO = {"nodes": 2, "gpusPerNode": 0}


@pytest.fixture(scope="module")
def undisturbed(installation: Installation) -> str:
    """The name of a job of two pods that nobody disturbed."""
    job = installation.apply(training_job("pair", STEPS, resources=TWO))
    installation.wait_for_phase(job, "Succeeded", 600)
    return job


def test_two_pods_train_one_adapter(installation: Installation, undisturbed: str) -> None:
    status = installation.status(undisturbed)
    assert status["attempts"]["current"] == 1
    assert status["progress"]["step"] == STEPS
    pods = installation.of_job("pods", undisturbed)
    assert sorted(pod["status"]["phase"] for pod in pods) == ["Succeeded", "Succeeded"]
    [service] = installation.of_job("services", undisturbed)
    assert service["spec"]["clusterIP"] == "None"
    logs = {path.name for path in (installation.workspace / "jobs").glob(f"{undisturbed}-*/log*.txt")}
    assert logs == {"log.txt", "log-node-1.txt"}


@pytest.mark.parametrize("index", [0, 1], ids=["the first pod", "the second pod"])
def test_a_lost_pod_ends_the_attempt_and_both_go_on_from_the_checkpoint(
    installation: Installation, undisturbed: str, index: int
) -> None:
    job = installation.apply(training_job(f"bereft-{index}", STEPS, resources=TWO))
    installation.wait("a checkpoint is known", lambda: installation.status(job).get("checkpoints"), seconds=300)
    [pod] = [
        pod["metadata"]["name"]
        for pod in installation.of_job("pods", job)
        if pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"] == str(index)
    ]
    installation.kubectl("delete", "pod", pod, "--grace-period=0", "--force")

    status = installation.wait_for_phase(job, "Succeeded", 600)
    assert status["attempts"]["current"] == 2
    assert status["attempts"]["preemptions"] == 1
    assert status["attempts"].get("failures", 0) == 0
    assert weights(installation, job) == weights(installation, undisturbed)
