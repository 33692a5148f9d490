"""containerd in the node's namespaces, with an image store that outlives the cluster.

One store for all clusters, so that an image is imported once; whoever comes while it is in use gets an own one.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cluster import build
from tests.cluster.images import Images
from tests.cluster.machine import CNI_PLUGINS
from tests.cluster.namespaces import Namespaces
from tests.cluster.processes import Processes, run

PAUSE_IMAGE = "localhost/fettle-pause:1"
PROBE_IMAGE = "localhost/fettle-probe:1"
CONFIG = """version = 2
root = "{root}"
state = "/run/containerd"
grpc.address = "{socket}"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{pause}"
# Without CAP_SYS_RESOURCE no process can be made less likely to be killed than its parent.
restrict_oom_score_adj = true
cni = {{bin_dir = "{plugins}", conf_dir = "{folder}/cni"}}
[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
options = {{BinaryName = "runc", SystemdCgroup = false}}
"""


class Containerd:
    """The container runtime of one node."""

    def __init__(self, home: Path, namespaces: Namespaces, kubebox: Path) -> None:
        self.socket = home / "containerd.sock"
        self.images = Images(self.socket)
        self._folder = namespaces.folder
        self._kubebox = kubebox
        self._namespaces = namespaces
        self._processes = Processes(home)

    def up(self) -> None:
        """Starts it and brings the images that every node has."""
        with _store(self._folder / "containerd") as (root, locks):
            config = self._folder / "containerd.toml"
            places = {"root": root, "socket": self.socket, "plugins": CNI_PLUGINS, "folder": self._folder}
            config.write_text(CONFIG.format(pause=PAUSE_IMAGE, **places))
            self._start(config, locks)
            if self._forget_containers():
                # The kubelet's side of containerd has read them already, and would show them as dead pods.
                self._processes.stop("containerd", wrapped=True)
                self._start(config, locks)
        self.images.load_program(self._kubebox / "pause", PAUSE_IMAGE)
        self.images.load_program(self._kubebox / "probe", PROBE_IMAGE)

    def _start(self, config: Path, locks: tuple[int, ...]) -> None:
        self.socket.unlink(missing_ok=True)
        argv = self._namespaces.inside("containerd", "--config", config)
        self._processes.start("containerd", *argv, keep_open=locks)
        self._processes.wait_until("containerd listens", self.socket.exists, 20)

    def _forget_containers(self) -> bool:
        """Removes the containers that an earlier cluster has left in the store; whether there were any."""
        ctr = ["ctr", "--address", self.socket, "--namespace", "k8s.io", "containers"]
        stale = run(*ctr, "list", "--quiet").split()
        if stale:
            run(*ctr, "delete", *stale)
        return bool(stale)


@contextmanager
def _store(own: Path) -> Iterator[tuple[Path, tuple[int, ...]]]:
    """The folder to keep images in, and the descriptors of the lock that containerd must hold on it."""
    shared = build.cache_path() / "containerd"
    shared.mkdir(parents=True, exist_ok=True)
    lock = os.open(shared / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield own, ()
        else:
            yield shared / "root", (lock,)
    finally:
        os.close(lock)
