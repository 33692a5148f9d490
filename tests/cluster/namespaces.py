"""The place where a node lives: private namespaces, one network link, one cgroup subtree (root).

Process 1 of the namespaces takes containers, mounts, bridges and rules along when it ends.
"""

from __future__ import annotations

import os
import signal
from functools import partial
from pathlib import Path

from tests.cluster.credentials import NODE_NAME
from tests.cluster.machine import CGROUPS
from tests.cluster.processes import ClusterError, Processes, children, run, wait_until
from tests.cluster.slots import Slot

# Values that the kubelet insists on. They belong to the whole kernel, so the node sees files instead.
TUNABLES = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1000000,
    "kernel/keys/root_maxbytes": 25000000,
}
# Folders that the node has of its own; nothing that it shares with the machine may lie below them.
HIDDEN = ("/run", "/var/log", "/var/lib")
# Process 1 must reap, and a shell that waits does not: a sleep that ignores SIGCHLD does.
PROCESS_1 = "exec env --ignore-signal=CHLD sleep infinity"


class Namespaces:
    """The namespaces of one cluster's node."""

    def __init__(self, home: Path, slot: Slot) -> None:
        self.folder = home / "node"
        self.slot = slot
        self._processes = Processes(home)

    def up(self, slot_lock: int) -> None:
        """Makes them, and the link between them and the machine."""
        for name in ("var-lib", "sys"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        ready = self.folder / "ready"
        script = "\n".join(["set -e", *self._set_up_commands(), f"touch {ready}", PROCESS_1])
        flags = ["--fork", "--kill-child", "--pid", "--mount-proc", "--mount", "--net", "--uts", "--ipc"]
        holder = self._processes.start("holder", "unshare", *flags, "sh", "-c", script, keep_open=(slot_lock,))
        self._processes.wait_until("namespaces are ready", ready.exists, 10)
        self._processes.adopt("node", children(holder)[0])
        self._link()

    def inside(self, *argv: object) -> list[str]:
        """The command line that runs argv as a process of the node."""
        pid = self._processes.pid("node")
        return ["nsenter", "-t", str(pid), "-m", "-n", "-u", "-i", "-p", "--", *map(str, argv)]

    def make_cgroup(self) -> None:
        """Makes the cgroup below which the kubelet puts all pods."""
        for path in cgroup_paths(self.slot):
            path.mkdir(exist_ok=True)
            if path.parent.name == "cpuset":
                for knob in ("cpuset.cpus", "cpuset.mems"):
                    (path / knob).write_text((path.parent / knob).read_text())

    def start_egress(self) -> None:
        """Lets the node reach what the machine reaches, but not the machine's loopback services."""
        pid = self._processes.pid("node")
        flags = ["--configure", "--mtu=1500", "--disable-host-loopback"]
        self._processes.start("slirp4netns", "slirp4netns", *flags, pid, "tap0")

    def down(self) -> None:
        """Ends everything that runs in the namespaces; nothing to end is no error."""
        self._processes.stop("node", signal.SIGKILL)
        self._processes.stop("holder", signal.SIGKILL)

    def _set_up_commands(self) -> list[str]:
        commands = [
            "mount --make-rshared /",
            "mount -t tmpfs tmpfs /run",
            "mount -t tmpfs tmpfs /var/log",
            f"mount --bind {self.folder}/var-lib /var/lib",
            "ip link set lo up",
            "echo 1 > /proc/sys/net/ipv4/ip_forward",
            f"hostname {NODE_NAME}",
        ]
        for name, value in TUNABLES.items():
            file = self.folder / "sys" / name.replace("/", "_")
            file.write_text(f"{value}\n")
            commands.append(f"mount --bind {file} /proc/sys/{name}")
        return commands

    def _link(self) -> None:
        name, pid = self.slot.link_name, self._processes.pid("node")
        run("ip", "link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", pid)
        run("ip", "addr", "add", f"{self.slot.host_ip}/30", "dev", name)
        run("ip", "link", "set", name, "up")
        run(*self.inside("ip", "addr", "add", f"{self.slot.node_ip}/30", "dev", "eth0"))
        run(*self.inside("ip", "link", "set", "eth0", "up"))
        for network in (self.slot.pods, self.slot.services):
            run("ip", "route", "add", network, "via", self.slot.node_ip)


def remove_traces(slot: Slot) -> None:
    """Removes what outlives the node's processes: the machine's end of the link, its routes, the cgroups."""
    link = Path("/sys/class/net") / slot.link_name
    if link.exists():
        try:
            run("ip", "link", "del", slot.link_name)
        except ClusterError:
            # The kernel removes it by itself, a moment after the node's end of it is gone.
            wait_until(f"{slot.link_name} is gone", lambda: not link.exists(), 10)
    for top in cgroup_paths(slot):
        for folder, _, _ in os.walk(top, topdown=False):
            wait_until(f"cgroup {folder} is empty", partial(_remove, folder), 10)


def cgroup_paths(slot: Slot) -> list[Path]:
    """The cgroup of a slot: one folder, or one in each hierarchy of cgroup v1."""
    if (CGROUPS / "cgroup.controllers").exists():
        return [CGROUPS / slot.cgroup_name]
    hierarchies = [path for path in CGROUPS.iterdir() if path.is_dir() and not path.is_symlink()]
    return [path / slot.cgroup_name for path in hierarchies]


def _remove(folder: str) -> bool:
    try:
        os.rmdir(folder)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True
