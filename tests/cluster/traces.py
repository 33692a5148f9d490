"""What a cluster has left on the machine: for tests that prove that it is nothing."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from tests.cluster.namespaces import cgroup_paths
from tests.cluster.processes import ClusterError, run
from tests.cluster.slots import Slot, take


def find_traces(home: Path, slot: Slot) -> list[tuple[str, str]]:
    """What of a cluster is on the machine: (kind, what) for processes, mounts, links, routes, cgroups, files."""
    traces = [("process", command) for command in _processes_of(home, slot)]
    mounts = Path("/proc/self/mountinfo").read_text().splitlines()
    traces += [("mount", line) for line in mounts if str(home) in line or slot.cgroup_name in line]
    links = os.listdir("/sys/class/net")
    traces += [("link", name) for name in links if name in (slot.link_name, "cni0") or name.startswith("veth")]
    networks = (slot.host_ip, slot.node_ip, slot.pods, slot.services)
    routes = run("ip", "route", "show", "table", "all").splitlines()
    traces += [("route", line) for line in routes if any(network in line for network in networks)]
    traces += [("cgroup", str(path)) for path in cgroup_paths(slot) if path.exists()]
    traces += [("file", str(path)) for path in (home.rglob("*") if home.exists() else ())]
    try:
        with take(slot.number):
            pass
    except ClusterError:
        traces.append(("slot", str(slot.number)))
    return traces


def _processes_of(home: Path, slot: Slot) -> Iterator[str]:
    """Processes that name the home, or are in the cluster's cgroups; not our own children that only ask."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            cgroups = (folder / "cgroup").read_text()
        except OSError:
            continue
        if re.search(rf"{re.escape(str(home))}\b", command) or f"/{slot.cgroup_name}/" in cgroups:
            yield command
