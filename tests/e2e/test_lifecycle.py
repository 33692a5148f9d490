"""A release's whole life on a real cluster: upgraded while a job runs, tested, uninstalled, installed again, removed.

The claim is ReadWriteOnce here, so that everything that mounts it has to come to one node.
"""

from collections.abc import Iterator

import httpx
import pytest

from tests.cluster import ClusterError
from tests.e2e.conftest import fresh_installation, values_for
from tests.e2e.installation import MODEL_PATH, Installation, training_job

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3000)]

STEPS = 1500
CRDS = ("trainingjobs.fettle.dev", "adapters.fettle.dev")


@pytest.fixture(scope="module")
def values(images: dict[str, str]) -> dict[str, dict[str, object]]:
    given = values_for(images)
    given["workspace"]["accessModes"] = ["ReadWriteOnce"]
    return given


@pytest.fixture(scope="module")
def release(
    images: dict[str, str], values: dict[str, dict[str, object]], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    with fresh_installation(tmp_path_factory.mktemp("lifecycle"), images, values) as installed:
        yield installed


def test_an_upgrade_while_a_job_runs_loses_nothing(release: Installation) -> None:
    job = release.apply(training_job("upgraded", STEPS))
    release.wait("it trains", lambda: release.step(job) > 0, seconds=300)
    [before] = release.of_job("pods", job)
    leader = release.leader()
    release.upgrade("operator.podAnnotations.round=two", "api.podAnnotations.round=two")
    assert release.phase(job) == "Running", "the upgrade was over only after the job"
    status = release.wait_for_phase(job, "Succeeded", 600)
    assert release.leader() != leader, "the operator was replaced"
    assert status["attempts"]["current"] == 1
    assert status["progress"]["step"] == STEPS
    [after] = release.of_job("pods", job)
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert release.get("adapter", job) is not None


def test_the_engine_answers_with_the_adapter_through_the_facade(release: Installation) -> None:
    """Its pod, its key, its view of the claim and its Service are those that the facade was told of."""
    release.upgrade("engine.enabled=true", f"engine.model={MODEL_PATH}")
    pods = release.kubectl("get", "pods", "--selector=fettle.dev/engine=true", "-o", "name").split()
    assert len(pods) == 1
    with release.http() as client:
        loaded = client.post("/qlora/api/adapters/upgraded/load")
        assert loaded.status_code == 200, loaded.text
        request = {"messages": [{"role": "user", "content": "show pods 1"}], "max_tokens": 4}
        answer = client.post("/qlora/v1/chat/completions", json=request)
    assert answer.status_code == 200, answer.text
    assert answer.json()["choices"][0]["message"]["role"] == "assistant"
    address = release.kubectl("get", "service", "fettle-engine", "-o", "jsonpath={.spec.clusterIP}")
    with httpx.Client(base_url=f"http://{address}:8000", timeout=30, trust_env=False) as engine:
        served = {model["id"] for model in engine.get("/v1/models").json()["data"]}
        assert served == {MODEL_PATH, "upgraded"}
        assert engine.post("/v1/unload_lora_adapter", json={"lora_name": "upgraded"}).status_code == 401


def test_helm_test_may_be_repeated(release: Installation) -> None:
    assert all("passed" in release.test() for _ in range(2))


def test_uninstalling_leaves_results_and_says_so(release: Installation) -> None:
    held = '{"metadata": {"finalizers": ["fettle.dev/loaded"]}}'
    release.kubectl("patch", "adapter", "upgraded", "--type=merge", "--patch", held)
    said = release.uninstall()
    for kept in (*CRDS, "fettle-workspace"):
        assert kept in said, "helm tells what it keeps"
    assert (
        release.kubectl(
            "get",
            "deployments,services,secrets,roles,jobs.batch,networkpolicies",
            "-l",
            "app.kubernetes.io/part-of=fettle",
            "-o",
            "name",
        )
        == ""
    )
    assert release.status("upgraded")["phase"] == "Succeeded"
    adapter = release.get("adapter", "upgraded")
    assert adapter is not None
    assert (release.workspace / adapter["status"]["path"] / "adapter_config.json").is_file()


def test_no_finalizer_is_left_behind(release: Installation) -> None:
    """Not even on an Adapter that engines had when the operator went."""
    for kind in ("trainingjobs", "adapters"):
        finalizers = release.kubectl("get", kind, "-o", "jsonpath={.items[*].metadata.finalizers}")
        assert finalizers == ""


def test_what_was_left_is_taken_up_by_the_next_release(
    release: Installation, values: dict[str, dict[str, object]]
) -> None:
    release.install(values)
    with release.http() as client:
        listed = client.get("/ainode/api/training/jobs")
    assert listed.status_code == 200
    assert "upgraded" in listed.text
    assert release.status("upgraded")["phase"] == "Succeeded"


def test_crds_go_when_they_are_not_to_be_kept(release: Installation) -> None:
    release.upgrade("crds.keep=false")
    said = release.uninstall()
    assert "trainingjobs.fettle.dev" not in said
    for crd in CRDS:
        release.wait(f"{crd} is gone", lambda crd=crd: _is_gone(release, crd), seconds=60)
    assert (release.workspace / MODEL_PATH / "config.json").is_file(), "the claim stays"


def _is_gone(release: Installation, crd: str) -> bool:
    try:
        release.kubectl("get", "crd", crd)
    except ClusterError as error:
        return "NotFound" in str(error)
    return False
