"""The life of a TrainingJob on a real kubelet: every way to wait, to be interrupted and to end, and what the job then
says. All jobs run side by side, in pods of a line of shell each; a watch remembers what they went through.
"""

import json
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from tests.cluster import build
from tests.cluster.credentials import NODE_NAME
from tests.cluster.processes import clean_environment
from tests.e2e.chronicle import Chronicle, Status
from tests.e2e.fates import LABEL, LINGERS, UNTIL_ASKED, Fate, cheap_job, exits, once, supervised, told
from tests.e2e.installation import NAMESPACE, Installation

pytestmark = pytest.mark.timeout(600)

BARE = "bare"
DIGEST = "sha256:" + "ab" * 32
ADAPTER = {"output": {"kind": "adapter", "path": "adapters/lasting/abababababab", "digest": DIGEST}, "rank": 8}
BAD_ROW = {"failure": {"code": "DatasetInvalid", "message": "row 3, column 'messages': is empty", "hint": "Fill it."}}
STEP = '{"time": "2026-01-01T00:00:00Z", "attempt": 1, "stage": "training", "step": 1}'
NOWHERE = {"nodeSelector": {"fettle-tests/nowhere": "true"}}
QUICK_STALL = {"stallTimeoutSeconds": 2, "startupTimeoutSeconds": 2}
FAILED_ATTEMPTS = {
    **dict.fromkeys(("InfrastructureError", "TrainerError", "Stalled", "OutOfMemoryKilled"), 1),
    "RetriesExhausted": 2,
}
"""Only attempts that might be repeated count as failed ones."""
NO_GPUS = {"resources": {"gpusPerNode": 1}, "preflight": "skip"}

ENDINGS = [
    Fate("configuration", "ConfigurationInvalid", "not possible", "create the job again", {"runtime": exits(64)}),
    Fate("dataset", "DatasetInvalid", "row 3, column 'messages'", "Fill it.", {"runtime": told(65, **BAD_ROW)}),
    Fate("model", "ModelUnavailable", "could not be loaded", "spec.baseModel", {"runtime": exits(66)}),
    Fate("disk", "DiskFull", "no space left", "keepLast", {"runtime": exits(67)}),
    Fate("memory", "OutOfMemory", "too little memory", "batchSize", {"runtime": exits(70)}),
    Fate("not-finite", "LossNotFinite", "not a number", "learningRate", {"runtime": exits(71)}),
    Fate("surroundings", "InfrastructureError", "surroundings", "events of the pod", {"runtime": exits(75)}),
    Fate("unknown", "TrainerError", "exit code 3", "traceback", {"runtime": exits(3)}),
    Fate(
        "killed", "InfrastructureError", "killed from outside", "", {"runtime": {"command": ["sh", "-c", "exit 137"]}}
    ),
    Fate(
        "kernel",
        "OutOfMemoryKilled",
        "reached its memory limit",
        "spec.resources.memory",
        {"runtime": {"command": ["tail", "/dev/zero"]}},
    ),
    Fate(
        "push",
        "PushFailed",
        "403",
        "HF_TOKEN",
        {"runtime": told(66, failure={"code": "PushFailed", "message": "the hub answers 403", "hint": ""})},
    ),
    Fate(
        "exhausted",
        "RetriesExhausted",
        "2 attempts failed, limits.maxRetries is 1; last: InfrastructureError",
        "",
        {"runtime": exits(75), "limits": {"maxRetries": 1}},
    ),
    Fate(
        "startup",
        "Stalled",
        "at step 0",
        "startupTimeoutSeconds",
        {"runtime": supervised("sleep 600"), "limits": QUICK_STALL, "resources": {"cpu": "200m", "memory": "128Mi"}},
    ),
    Fate(
        "stall",
        "Stalled",
        "at step 1",
        "stallTimeoutSeconds",
        {
            "runtime": supervised(f"echo '{STEP}' >> $SERIES; sleep 600"),
            "limits": {**QUICK_STALL, "startupTimeoutSeconds": 600},
            "resources": {"cpu": "200m", "memory": "128Mi"},
        },
    ),
    Fate(
        "no-image",
        "ImagePullFailed",
        "localhost/nothing:1",
        "spec.runtime.image",
        {"runtime": {"image": "localhost/nothing:1"}},
    ),
    Fate(
        "bad-image",
        "ImagePullFailed",
        "InvalidImageName",
        "spec.runtime.image",
        {"runtime": {"image": "localhost/UPPER:1"}},
    ),
    Fate(
        "no-image-for-preflight",
        "ImagePullFailed",
        "localhost/nothing:2",
        "spec.runtime.image",
        {"runtime": {"image": "localhost/nothing:2", "command": None}, "preflight": "always"},
    ),
    Fate("no-secret", "PodRefused", 'secret "absent" not found', "Secret", {"credentials": {"secretName": "absent"}}),
    Fate("no-command", "PodRefused", "not-a-program", "command", {"runtime": {"command": ["/not-a-program"]}}),
    Fate(
        "deadline",
        "DeadlineExceeded",
        "limits.activeDeadlineSeconds is 2",
        "spec.startFrom.trainingJob",
        {"runtime": {"command": ["sh", "-c", UNTIL_ASKED]}, "limits": {"activeDeadlineSeconds": 2}},
    ),
]
OTHERS = [
    cheap_job("nowhere", runtime=NOWHERE, limits={"activeDeadlineSeconds": 1}),
    cheap_job("no-gpu", **NO_GPUS),
    cheap_job("too-late", runtime=NOWHERE),
    cheap_job("lasting", runtime=told(0, step=5, **ADAPTER), limits={"ttlSecondsAfterFinished": 2}),
    cheap_job("repeated", once("repeated", "exit 75"), limits={"maxRetries": 1}),
    cheap_job("deleted", once("deleted", UNTIL_ASKED)),
    cheap_job("evicted", once("evicted", LINGERS)),
    cheap_job("paused", once("paused", UNTIL_ASKED), limits={"activeDeadlineSeconds": 3600}),
    cheap_job("stubborn", "trap '' TERM; sleep 600"),
]


@pytest.fixture(scope="module")
def chronicle(installation: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chronicle]:
    """Every job of this page has been created, and everything that becomes of them is written down."""
    with Chronicle(installation.cluster, tmp_path_factory.mktemp("chronicle")) as chronicle:
        installation.kubectl("create", "-f", "-", stdin=yaml.safe_dump_all([*(e.manifest for e in ENDINGS), *OTHERS]))
        installation.cluster.kubectl("create", "namespace", BARE)
        homeless = yaml.safe_dump(cheap_job("homeless"))
        installation.cluster.kubectl("create", f"--namespace={BARE}", "-f", "-", stdin=homeless)
        chronicle.wait("evicted", "Running")
        evict(installation, running_pod(installation, "evicted"))
        yield chronicle
        installation.kubectl("delete", "trainingjobs", "--selector", LABEL, "--wait=false")


def running_pod(installation: Installation, job: str) -> str:
    """The name of the pod that runs; empty if there is none."""
    pods = installation.of_job("pods", job)
    names = [
        pod["metadata"]["name"]
        for pod in pods
        if pod["status"]["phase"] == "Running" and "deletionTimestamp" not in pod["metadata"]
    ]
    return next(iter(names), "")


def hold_back(installation: Installation, run: str, suspend: bool) -> None:
    change = json.dumps({"spec": {"suspend": suspend}})
    installation.kubectl("patch", "job", run, "--type=merge", "--patch", change)


def evict(installation: Installation, pod: str) -> None:
    """What `kubectl drain` does to a pod."""
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": pod}}
    path = f"/api/v1/namespaces/{NAMESPACE}/pods/{pod}/eviction"
    installation.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))


def test_a_deleted_pod_is_no_failure(installation: Installation, chronicle: Chronicle) -> None:
    chronicle.wait("deleted", "Running")
    [pod] = installation.of_job("pods", "deleted")
    installation.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false")
    status = chronicle.wait("deleted", "Succeeded")
    assert status["attempts"]["preemptions"] == 1
    assert status["attempts"]["failures"] == 0
    assert {
        ("Accepted", "True", "Accepted"),
        ("Admitted", "True", "Admitted"),
        ("PodsReady", "True", "Running"),
        ("Running", "True", "Running"),
        ("Running", "False", "Restarting"),
    } <= chronicle.reasons("deleted")
    # Whether the pod, and its exit code for a saved checkpoint, are still there when the operator looks is chance; it
    # is a preemption in any case.
    messages = " ".join(str(status.get("message")) for status in chronicle.statuses("deleted"))
    assert any(f"attempt 1 ended ({reason})" in messages for reason in ("PodDeleted", "NodeLost", "Preempted"))


def test_a_suspended_job_holds_nothing_and_its_time_stands_still(
    installation: Installation, chronicle: Chronicle
) -> None:
    chronicle.wait("paused", "Running")
    installation.patch("paused", suspend=True)
    held = chronicle.wait("paused", "Suspended")
    assert installation.of_job("pods", "paused") == []
    installation.patch("paused", suspend=False)
    ended = chronicle.wait("paused", "Succeeded")
    assert {status["activeSeconds"] for status in chronicle.statuses("paused") if is_held(status)} == {
        held["activeSeconds"]
    }
    assert (ended["attempts"]["failures"], ended["attempts"]["preemptions"]) == (0, 0)
    assert {
        ("Suspended", "False", "Suspending"),
        ("Suspended", "True", "Suspended"),
        ("Suspended", "False", "Resumed"),
        ("Admitted", "False", "Suspended"),
    } <= chronicle.reasons("paused")


def is_held(status: Status) -> bool:
    return status.get("phase") in ("Suspended", "Queued")


def test_cancelling_twice_ends_a_run_that_does_not_listen(installation: Installation, chronicle: Chronicle) -> None:
    chronicle.wait("stubborn", "Running")
    installation.patch("stubborn", cancel=True)
    installation.patch("stubborn", cancel=True, limits={"maxRetries": 3})
    status = chronicle.wait("stubborn", "Cancelled")
    assert status["message"] == "cancelled during attempt 1"
    assert installation.of_job("pods", "stubborn") == []
    assert {
        ("Failed", "False", "Stopping"),
        ("Running", "False", "Stopped"),
        ("PodsReady", "False", "Finished"),
        ("Failed", "True", "Cancelled"),
    } <= chronicle.reasons("stubborn")


@pytest.mark.parametrize("fate", ENDINGS, ids=lambda fate: str(fate.name))
def test_a_failed_job_says_what_is_wrong_and_what_to_do(chronicle: Chronicle, fate: Fate) -> None:
    status = chronicle.wait(fate.name, "Failed", "Succeeded")
    failure = status["failure"]
    assert (status["reason"], failure["code"]) == (fate.code, fate.code), status
    assert fate.says in failure["message"]
    assert status["message"] == failure["message"]
    assert failure["hint"]
    assert fate.advice in failure["hint"]
    assert "started again" not in failure["hint"]
    [failed] = [condition for condition in status["conditions"] if condition["type"] == "Failed"]
    assert (failed["status"], failed["reason"], failed["message"]) == ("True", fate.code, failure["message"])
    assert (status.get("attempts") or {}).get("failures", 0) == FAILED_ATTEMPTS.get(fate.code, 0)


def test_only_the_time_in_which_pods_run_counts_against_the_active_deadline(chronicle: Chronicle) -> None:
    assert chronicle.wait("deadline", "Failed")["activeSeconds"] >= 2
    chronicle.wait("nowhere", "Starting")
    assert chronicle.status("nowhere").get("activeSeconds") is None


def test_a_pod_that_no_node_takes_shows_the_schedulers_words(installation: Installation, chronicle: Chronicle) -> None:
    nowhere = chronicle.wait("nowhere", "Starting/Unschedulable")
    assert "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector" in nowhere["message"]
    no_gpu = chronicle.wait("no-gpu", "Starting/Unschedulable")
    assert "Insufficient nvidia.com/gpu" in no_gpu["message"]
    for job in ("nowhere", "no-gpu"):
        installation.patch(job, cancel=True)
        assert chronicle.wait(job, "Cancelled").get("startTime") is None


def test_a_job_that_waits_longer_than_it_may_says_what_for(installation: Installation, chronicle: Chronicle) -> None:
    chronicle.wait("too-late", "Starting/Unschedulable")
    installation.patch("too-late", limits={"pendingDeadlineSeconds": 1})
    status = chronicle.wait("too-late", "Failed")
    assert status["failure"]["code"] == "PendingDeadlineExceeded"
    assert "within 1 s; it is Starting (Unschedulable: 0/1 nodes are available" in status["message"]
    assert "ask for less" in status["failure"]["hint"]


def test_a_failure_that_may_pass_is_repeated(chronicle: Chronicle) -> None:
    status = chronicle.wait("repeated", "Succeeded", "Failed")
    assert "reported no result: no Adapter was made" in status["message"]
    assert status["attempts"]["failures"] == 1
    assert {
        ("PodsReady", "False", "NotCreated"),
        ("Running", "False", "Restarting"),
        ("Running", "False", "Starting"),
        ("Running", "False", "Finished"),
        ("Complete", "True", "Succeeded"),
    } <= chronicle.reasons("repeated")


def test_a_preflight_is_what_a_pending_job_waits_for(chronicle: Chronicle) -> None:
    chronicle.wait("no-image-for-preflight", "Failed")
    assert ("Pending", "Preflight") in chronicle.phases("no-image-for-preflight")


def test_a_finished_job_goes_when_its_time_is_over_and_its_adapter_stays(
    installation: Installation, chronicle: Chronicle
) -> None:
    assert chronicle.wait("lasting", "Succeeded")["adapter"] == "lasting"
    installation.wait("the job is deleted", lambda: chronicle.is_gone("lasting"))
    adapter = installation.get("adapter", "lasting")
    assert adapter
    assert adapter["spec"]["digest"] == DIGEST
    installation.kubectl("delete", "adapter", "lasting")


def test_a_namespace_without_a_workspace_says_how_to_make_one(installation: Installation, chronicle: Chronicle) -> None:
    status = chronicle.wait("homeless", "Pending/WorkspaceMissing")
    command = status["message"].partition("make it with: ")[2]
    environment = clean_environment() | {"KUBECONFIG": str(installation.cluster.kubeconfig)}
    environment["PATH"] = f"{build.kubebox_path()}:{environment['PATH']}"
    subprocess.run(["sh", "-c", command], check=True, env=environment, capture_output=True)
    chronicle.wait("homeless", "Succeeded")
    assert ("Admitted", "False", "Queued") in chronicle.reasons("homeless")


def test_an_evicted_pod_is_replaced_within_its_attempt(chronicle: Chronicle) -> None:
    status = chronicle.wait("evicted", "Succeeded")
    assert (status["attempts"]["current"], status["attempts"]["preemptions"]) == (1, 1)
    assert status["attempts"]["failures"] == 0
    assert ("PodsReady", "False", "Preempted") in chronicle.reasons("evicted")


@pytest.mark.slow
def test_a_drained_node_takes_the_pod_and_the_job_goes_on(installation: Installation, chronicle: Chronicle) -> None:
    installation.apply(cheap_job("drained", once("drained", UNTIL_ASKED)))
    chronicle.wait("drained", "Running")
    pods = "--pod-selector=fettle.dev/training-job=drained"
    try:
        installation.kubectl("drain", NODE_NAME, pods, "--delete-emptydir-data", "--timeout=60s")
        waiting = chronicle.wait("drained", "Starting/Unschedulable")
    finally:
        installation.kubectl("uncordon", NODE_NAME)
    assert "were unschedulable" in waiting["message"]
    status = chronicle.wait("drained", "Succeeded")
    assert (status["attempts"]["preemptions"], status["attempts"]["failures"]) == (1, 0)


@pytest.mark.slow
def test_what_is_held_back_in_the_middle_saves_and_goes_on_in_the_same_attempt(
    installation: Installation, chronicle: Chronicle
) -> None:
    """As Kueue does it, by a hand that is not ours: here there is no Kueue, and the job says so."""
    installation.apply(cheap_job("held", once("held", UNTIL_ASKED), scheduling={"kueueQueue": "team"}))
    waiting = chronicle.wait("held", "Queued/WaitingForKueue")
    assert "has no Workload yet" in waiting["message"]
    hold_back(installation, "held-a1", False)
    chronicle.wait("held", "Running")
    hold_back(installation, "held-a1", True)
    installation.wait("its pod is gone", lambda: not installation.of_job("pods", "held"))
    installation.wait("it waits again", lambda: chronicle.phases("held")[-1] == ("Queued", "WaitingForKueue"))
    hold_back(installation, "held-a1", False)
    status = chronicle.wait("held", "Succeeded", "Failed")
    assert status["phase"] == "Succeeded"
    assert (status["attempts"]["current"], status["attempts"]["failures"]) == (1, 0)


@pytest.mark.slow
def test_three_evictions_without_a_step_end_the_job(installation: Installation, chronicle: Chronicle) -> None:
    installation.apply(cheap_job("hunted", UNTIL_ASKED))
    for count in (1, 2, 3):
        installation.wait("it has a pod that runs", lambda: running_pod(installation, "hunted"))
        evict(installation, running_pod(installation, "hunted"))
        chronicle.wait_until("hunted", lambda status, n=count: (status.get("attempts") or {}).get("preemptions") == n)
    status = chronicle.wait("hunted", "Failed")
    assert (status["reason"], status["attempts"]["failures"]) == ("NoProgress", 0)
    assert "taken away 3 times in a row without a step of progress" in status["message"]


def test_what_has_ended_never_starts_again_whatever_is_edited_or_lost(
    installation: Installation, chronicle: Chronicle
) -> None:
    ended = {job: chronicle.status(job) for job in ("repeated", "unknown", "stubborn")}
    for job in ended:
        for change in ({"suspend": True}, {"suspend": False, "limits": {"maxRetries": 9}}):
            installation.patch(job, **change)
        installation.patch(job, scheduling={"priority": "high"})
        installation.kubectl("delete", "jobs,configmaps", "--selector", f"fettle.dev/training-job={job}", "--wait")
    installation.kubectl("delete", "pod", installation.leader(), "--grace-period=0", "--force")
    installation.apply(cheap_job("afterwards"))
    chronicle.wait("afterwards", "Succeeded")
    for job, before in ended.items():
        assert chronicle.status(job) == before
        assert installation.of_job("jobs", job) == []
