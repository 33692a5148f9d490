"""The test cluster itself: what it offers to tests, and that it leaves nothing behind."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from tests.cluster import CONTEXT, Cluster, ClusterError, build, machine
from tests.cluster.containerd import PROBE_IMAGE
from tests.cluster.images import single_program_image
from tests.cluster.probe import apply, phase, poll, probe_pod, succeeded
from tests.cluster.processes import Processes, run
from tests.cluster.slots import Slot
from tests.cluster.traces import find_traces

REPOSITORY = Path(__file__).resolve().parents[2]
needs_control_plane = pytest.mark.usefixtures("control_plane_machine")
needs_node = pytest.mark.usefixtures("node_machine")


@pytest.fixture(scope="module")
def control_plane_machine() -> None:
    reasons = machine.missing_for_control_plane()
    if reasons:
        pytest.skip("; ".join(reasons))


@pytest.fixture(scope="module")
def node_machine() -> None:
    reasons = machine.missing_for_node()
    if reasons:
        pytest.skip("; ".join(reasons))


# -- the control plane ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def control_plane(control_plane_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("control-plane"))
    cluster.up()
    yield cluster
    cluster.down()


@pytest.mark.cluster
@needs_control_plane
def test_down_leaves_nothing_of_a_control_plane(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "home")
    cluster.up()
    slot = cluster.slot
    assert slot
    assert find_traces(cluster.home, slot)
    cluster.down()
    cluster.down()
    assert find_traces(cluster.home, slot) == []


@pytest.mark.cluster
@needs_control_plane
def test_down_ends_what_a_killed_program_has_left(tmp_path: Path) -> None:
    home = tmp_path / "home"
    slot = kill_while_starting(home, until="etcd")
    Cluster(home).down()
    assert find_traces(home, slot) == []


@pytest.mark.cluster
@needs_control_plane
def test_the_context_is_marked_as_a_test(control_plane: Cluster) -> None:
    assert control_plane.kubectl("config", "current-context").strip() == CONTEXT == "fettle-test"


@pytest.mark.cluster
@needs_control_plane
def test_clusters_run_side_by_side(control_plane: Cluster, tmp_path: Path) -> None:
    other = Cluster(tmp_path / "home")
    try:
        other.up()
        assert other.slot != control_plane.slot
        other.kubectl("create", "namespace", "only-here")
        assert "only-here" not in control_plane.kubectl("get", "namespaces")
    finally:
        other.down()
    assert "default" in control_plane.kubectl("get", "namespaces")


@pytest.mark.cluster
@needs_control_plane
def test_a_slot_or_home_in_use_is_refused(control_plane: Cluster, tmp_path: Path) -> None:
    assert control_plane.slot
    with pytest.raises(ClusterError, match="in use"):
        Cluster(tmp_path / "home", control_plane.slot.number).up()
    with pytest.raises(ClusterError, match="has a cluster already"):
        Cluster(control_plane.home).up()


def test_a_home_with_other_files_is_refused_and_kept(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("two years of work")
    with pytest.raises(ClusterError, match="other files"):
        Cluster(tmp_path).up()
    Cluster(tmp_path).down()
    assert (tmp_path / "thesis.txt").exists()


@pytest.mark.cluster
@needs_control_plane
def test_pod_security_refuses_a_careless_pod(control_plane: Cluster) -> None:
    control_plane.kubectl("create", "namespace", "restricted")
    level = "pod-security.kubernetes.io/enforce=restricted"
    control_plane.kubectl("label", "namespace", "restricted", level)
    with pytest.raises(ClusterError, match="violates PodSecurity"):
        control_plane.kubectl("run", "careless", "--image", PROBE_IMAGE, "--namespace", "restricted")


@pytest.mark.cluster
@needs_control_plane
@pytest.mark.parametrize(("audience", "authenticated"), [("job-42", True), ("job-43", False)])
def test_a_token_is_good_for_its_audience_only(control_plane: Cluster, audience: str, authenticated: bool) -> None:
    token = control_plane.kubectl("create", "token", "default", "--audience", "job-42").strip()
    review = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": {"token": token, "audiences": [audience]},
    }
    answer = json.loads(control_plane.kubectl("create", "-f", "-", "-o", "json", stdin=json.dumps(review)))
    assert answer["status"].get("authenticated", False) is authenticated


# -- the node ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def node(node_machine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    cluster = Cluster(tmp_path_factory.mktemp("node"))
    cluster.up(node=True, gpus=2)
    yield cluster
    cluster.down()


@pytest.mark.node
@needs_node
def test_a_shared_claim_is_writable_for_a_user_by_fsgroup(node: Cluster) -> None:
    claim = {
        "metadata": {"name": "workspace"},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    apply(node, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
    for name in ("first", "second"):
        apply(node, probe_pod(name, "write", f"/workspace/{name}.txt", name, claim="workspace"))
    for name in ("first", "second"):
        poll(partial(succeeded, node, name), f"{name} succeeds")
        file = node.volume_path("default", "workspace") / f"{name}.txt"
        assert file.read_text() == name
        assert (file.stat().st_uid, file.stat().st_gid) == (65532, 65532)


@pytest.mark.node
@needs_node
def test_a_volume_goes_with_its_claim(node: Cluster) -> None:
    claim = {
        "metadata": {"name": "short-lived"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    apply(node, {"apiVersion": "v1", "kind": "PersistentVolumeClaim", **claim})
    path = "jsonpath={.status.phase}"
    poll(lambda: node.kubectl("get", "pvc", "short-lived", "-o", path) == "Bound", "the claim is bound")
    volume = node.volume_path("default", "short-lived")
    assert volume.parent == node.volumes
    assert volume.is_dir()
    node.kubectl("delete", "pvc", "short-lived")
    poll(lambda: not volume.exists(), "the volume is gone")


@pytest.mark.node
@needs_node
def test_pods_get_the_gpus_that_are_there_and_no_more(node: Cluster) -> None:
    apply(node, probe_pod("modest", "wait", gpus=2))
    poll(lambda: phase(node, "modest") == "Running", "the pod with 2 GPUs runs")
    apply(node, probe_pod("greedy", "wait", gpus=1))
    message = "jsonpath={.status.conditions[0].message}"
    poll(
        lambda: "Insufficient nvidia.com/gpu" in node.kubectl("get", "pod", "greedy", "-o", message),
        "the scheduler refuses the third GPU",
    )
    node.kubectl("delete", "pod", "modest", "greedy", "--wait=false")


@pytest.mark.node
@needs_node
def test_gpus_come_back_when_the_kubelet_forgets_them(node: Cluster) -> None:
    patch = json.dumps({"status": {"capacity": {"nvidia.com/gpu": "0"}}})
    node.kubectl("patch", "node", "node1", "--subresource=status", "--type=merge", "--patch", patch)
    count = "jsonpath={.status.capacity.nvidia\\.com/gpu}"
    poll(lambda: node.kubectl("get", "node", "node1", "-o", count) == "2", "the node has GPUs again")


@pytest.mark.node
@needs_node
def test_a_pod_resolves_names_of_services(node: Cluster) -> None:
    apply(node, probe_pod("resolver", "resolve", "kubernetes.default.svc.cluster.local"))
    poll(lambda: succeeded(node, "resolver"), "the name is resolved")
    assert node.slot
    assert node.kubectl("logs", "resolver").strip() == node.slot.service_ip


@pytest.mark.node
@needs_node
def test_an_eviction_marks_the_pod_as_disrupted(node: Cluster) -> None:
    apply(node, {**probe_pod("evicted", "wait"), "metadata": {"name": "evicted", "finalizers": ["test/keep"]}})
    poll(lambda: phase(node, "evicted") == "Running", "the pod runs")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted"}}
    path = "/api/v1/namespaces/default/pods/evicted/eviction"
    node.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    poll(lambda: succeeded(node, "evicted"), "the pod ends by SIGTERM")
    conditions = node.kubectl("get", "pod", "evicted", "-o", "jsonpath={.status.conditions[*].type}")
    assert "DisruptionTarget" in conditions
    release = json.dumps({"metadata": {"finalizers": None}})
    node.kubectl("patch", "pod", "evicted", "--type=merge", "--patch", release)


@pytest.mark.node
@needs_node
def test_an_archive_is_imported_once(node: Cluster, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive, name = tmp_path / "image.tar", "localhost/fettle-test-archive:1"
    archive.write_bytes(single_program_image(build.kubebox_path() / "probe", name))
    node.images.remove(name)
    assert node.load(archive) == [name]
    assert capsys.readouterr().err == ""
    assert node.load(archive) == [name]
    assert "not imported" in capsys.readouterr().err
    node.images.remove(name)
    assert name not in node.images.names()


@pytest.mark.node
@needs_node
def test_a_rebuilt_image_replaces_the_one_of_its_name(node: Cluster, capsys: pytest.CaptureFixture[str]) -> None:
    if machine.missing_for_images():
        pytest.skip("; ".join(machine.missing_for_images()))
    name = "localhost/fettle-test-built:1"
    counts = []
    for text in ("first", "second", "third"):
        build_image(name, text)
        assert node.load(name) == [name]
        assert "not imported" not in capsys.readouterr().err
        assert node.load(name) == [name]
        assert "not imported" in capsys.readouterr().err
        run("buildah", "rmi", name)
        pod = probe_pod(f"built-{text}")
        pod["spec"]["containers"][0]["image"] = name
        apply(node, pod)
        poll(partial(succeeded, node, f"built-{text}"), f"{text} succeeds")
        message = "jsonpath={.status.containerStatuses[0].state.terminated.message}"
        assert node.kubectl("get", "pod", f"built-{text}", "-o", message) == text
        counts.append(len(node.images.names()))
    assert counts[2] <= counts[0], "what the name has stood for before is dropped"
    node.images.remove(name)


@pytest.mark.node
@needs_node
def test_another_node_runs_beside_with_images_of_its_own(node: Cluster, tmp_path: Path) -> None:
    other = Cluster(tmp_path / "home")
    try:
        other.up(node=True)
        apply(other, probe_pod("elsewhere", "resolve", "kubernetes.default.svc.cluster.local"))
        poll(lambda: succeeded(other, "elsewhere"), "the pod succeeds")
        assert other.slot
        assert other.kubectl("logs", "elsewhere").strip() == other.slot.service_ip
    finally:
        other.down()


@pytest.mark.node
@needs_node
def test_down_leaves_nothing_of_a_node(node: Cluster) -> None:
    apply(node, probe_pod("left-running", "wait", claim=None))
    poll(lambda: phase(node, "left-running") == "Running", "the pod runs")
    slot = node.slot
    assert slot
    assert {"process", "link", "route", "cgroup"} <= {kind for kind, _ in find_traces(node.home, slot)}
    node.down()
    assert find_traces(node.home, slot) == []


@pytest.mark.node
@needs_node
def test_down_ends_what_a_killed_program_has_left_of_a_node(tmp_path: Path) -> None:
    home = tmp_path / "home"
    slot = kill_while_starting(home, "--node", until="kubelet")
    Cluster(home).down()
    assert find_traces(home, slot) == []


def kill_while_starting(home: Path, *flags: str, until: str) -> Slot:
    """Starts a cluster in another program and kills that as soon as one process is there; the cluster's slot."""
    argv = [sys.executable, "-m", "tests.cluster", "--home", str(home), "up", *flags]
    with subprocess.Popen(argv, cwd=REPOSITORY) as starter:
        poll(lambda: until in Processes(home).names(), f"{until} is started")
        starter.send_signal(signal.SIGKILL)
    slot = Cluster(home).slot
    assert slot
    assert find_traces(home, slot)
    return slot


def build_image(name: str, text: str) -> None:
    """An image, made by buildah, whose containers leave that text as their termination message."""
    container = run("buildah", "from", "scratch").strip()
    run("buildah", "copy", container, build.kubebox_path() / "probe", "/probe")
    entry_point = json.dumps(["/probe", "write", "/dev/termination-log", text])
    run("buildah", "config", "--entrypoint", entry_point, container)
    run("buildah", "commit", "--quiet", "--rm", container, name)
