"""One test cluster in one folder: up, down and what tests need in between."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.cluster import build, machine, slots, storage
from tests.cluster.control_plane import ControlPlane
from tests.cluster.credentials import ADMIN, Credentials
from tests.cluster.images import Images
from tests.cluster.namespaces import HIDDEN, Namespaces, remove_traces
from tests.cluster.node import Node
from tests.cluster.processes import ClusterError, Processes, clean_environment, write_atomically
from tests.cluster.slots import Slot

STATE_FILE = "cluster.json"


class Cluster:
    """A real Kubernetes, whose every file lies in `home` and whose every process ends with `down`.

    Several run side by side. A home outlives its Python process: another one may go on with it, or end it.
    """

    def __init__(self, home: Path, slot: int | None = None) -> None:
        self.home = Path(home).resolve()
        self._wanted_slot = slot
        self._state = self.home / STATE_FILE

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig; its context is `fettle-test`."""
        return Credentials(self.home).kubeconfig(ADMIN)

    @property
    def volumes(self) -> Path:
        """The folder that holds the claims' volumes, as the machine sees them."""
        return storage.volumes_path(self.home)

    @property
    def slot(self) -> Slot | None:
        """The slot of the running cluster; None if none runs."""
        if not self._state.exists():
            return None
        return Slot(json.loads(self._state.read_text())["slot"])

    def up(self, node: bool = False, gpus: int = 0, egress: bool = False) -> None:
        """Starts the cluster and returns when pods (without a node: objects) can be created.

        After a failure nothing runs any more, and only the logs are left.
        """
        self._refuse(node, gpus, egress)
        kubebox = build.build_kubebox()
        self.home.mkdir(parents=True, exist_ok=True)
        try:
            with slots.take(self._wanted_slot) as (slot, lock):
                write_atomically(self._state, {"slot": slot.number})
                self._start(ControlPlane(self.home, slot, kubebox), lock, node, gpus, egress)
        except BaseException:
            self._end()
            raise

    def down(self) -> None:
        """Ends the cluster and removes its home. No cluster, or half of one, is no error."""
        self._end()
        shutil.rmtree(self.home / Processes(self.home).logs.name, ignore_errors=True)
        if self.home.is_dir() and not any(self.home.iterdir()):
            self.home.rmdir()

    def load(self, image: str | Path) -> list[str]:
        """Gives the node an image: an archive, or the name of one that buildah built. Returns its names."""
        return self.images.load(image)

    @property
    def images(self) -> Images:
        """The images of the running node."""
        socket = self.home / "containerd.sock"
        if not socket.exists():
            raise ClusterError(f"the cluster in {self.home} has no node; start it with a node to run images")
        return Images(socket)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """The output of kubectl as administrator; a ClusterError with its message if it fails."""
        argv = [str(build.kubebox_path() / "kubectl"), f"--kubeconfig={self.kubeconfig}", *arguments]
        environment = clean_environment()
        finished = subprocess.run(argv, input=stdin or "", capture_output=True, text=True, env=environment)
        if finished.returncode:
            raise ClusterError(f"`kubectl {' '.join(arguments)}`: {finished.stderr.strip()}")
        return finished.stdout

    def volume_path(self, namespace: str, claim: str) -> Path:
        """The folder behind a bound claim, as the machine sees it."""
        output = "jsonpath={.metadata.uid}"
        uid = self.kubectl("get", "persistentvolumeclaim", claim, "--namespace", namespace, "--output", output)
        return storage.volume_path(self.home, namespace, claim, uid)

    def stop_kubelet(self) -> None:
        """The node falls silent; its containers run on."""
        Processes(self.home).stop("kubelet", wrapped=True)

    def start_kubelet(self) -> None:
        """The node is heard again, under the name that it had, whether its Node was deleted or not."""
        slot = self.slot
        if slot is None:
            raise ClusterError(f"no cluster runs in {self.home}")
        plane = ControlPlane(self.home, slot, build.kubebox_path())
        Node(plane, Namespaces(self.home, slot)).start_kubelet()

    def _refuse(self, node: bool, gpus: int, egress: bool) -> None:
        if self._state.exists():
            raise ClusterError(f"{self.home} has a cluster already; `down` ends it")
        if self.home.is_dir() and any(path != Processes(self.home).logs for path in self.home.iterdir()):
            raise ClusterError(f"{self.home} holds other files, and `down` would remove them; choose another home")
        if any(character.isspace() for character in str(self.home)):
            raise ClusterError(f"the home {str(self.home)!r} has a blank in its path; choose another")
        reasons = machine.missing_for_node() if node else machine.missing_for_control_plane()
        if egress:
            reasons += machine.missing_for_egress()
        if (gpus or egress) and not node:
            reasons.append("GPUs and egress need a node")
        hidden = [folder for folder in HIDDEN if self.home.is_relative_to(folder)]
        if node and hidden:
            reasons.append(f"the home {self.home} lies below {hidden[0]}, which the node cannot see")
        if reasons:
            raise ClusterError("this cluster cannot start here: " + "; ".join(reasons))

    def _start(self, plane: ControlPlane, lock: int, node: bool, gpus: int, egress: bool) -> None:
        if not node:
            plane.start(with_node=False, slot_lock=lock)
            plane.wait_until_ready()
            return
        namespaces = Namespaces(self.home, plane.slot)
        namespaces.up(lock)
        if egress:
            namespaces.start_egress()
        plane.start(with_node=True, slot_lock=lock)
        # The API server takes seconds to start; the runtime does not need it.
        worker = Node(plane, namespaces)
        worker.start_runtime()
        plane.wait_until_ready()
        worker.join(gpus, egress)

    def _end(self) -> None:
        """Ends all processes and removes all traces but the logs."""
        processes, slot = Processes(self.home), self.slot
        if slot:
            Namespaces(self.home, slot).down()
        processes.stop_all()
        if slot:
            with slots.abandoned(slot) as nobody_else_has_it:
                if nobody_else_has_it:
                    remove_traces(slot)
            self._remove_files()

    def _remove_files(self) -> None:
        """Removes every file but the logs; the state last, so that an interrupted `down` can be repeated."""
        for path in self.home.iterdir():
            if path in (self._state, Processes(self.home).logs):
                continue
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
        self._state.unlink()
