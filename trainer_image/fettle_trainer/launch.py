"""How the processes of a run are started: one by itself, several by torchrun. Pure; standard library only."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fettle_trainer.failures import configuration_failure

ENV_NODE = "JOB_COMPLETION_INDEX"
"""Which of several nodes this is; Kubernetes sets it in the pods of an Indexed Job."""
ENV_RANK_RESULTS = "FETTLE_RANK_RESULTS"
"""Directory where each of several processes leaves its RunResult, as `<rank>.json`."""
TRAINING_MODULE = "fettle_trainer.run"


@dataclass(frozen=True)
class Launch:
    """Which processes the supervisor of one node starts."""

    nodes: int = 1
    processes_per_node: int = 1
    node: int = 0
    rendezvous: str = ""
    """`host:port` of the first node, where there are several."""

    @property
    def count(self) -> int:
        """Processes on all nodes."""
        return self.nodes * self.processes_per_node

    @property
    def is_several(self) -> bool:
        return self.count > 1

    @property
    def is_first_node(self) -> bool:
        """The first node writes what there is one of: result, log, end of the progress."""
        return self.node == 0

    @property
    def own_ranks(self) -> range:
        """Ranks of the processes on this node."""
        return range(self.node * self.processes_per_node, (self.node + 1) * self.processes_per_node)


def plan_launch(config: Mapping[str, Any], environment: Mapping[str, str]) -> Launch:
    """From RunConfig's `topology`; TrainerFailure (64) if this node cannot know its place."""
    topology = config.get("topology") or {}
    nodes = int(topology.get("nodes") or 1)
    # A command that replaces the trainer starts processes itself, if it wants several.
    processes = 1 if config.get("command") else int(topology.get("processesPerNode") or 1)
    if nodes == 1:
        return Launch(processes_per_node=processes)
    rendezvous, node = str(topology.get("rendezvous") or ""), environment.get(ENV_NODE, "")
    if not node.isdigit() or int(node) >= nodes:
        raise configuration_failure(
            ENV_NODE, f"{node!r} is not the number of one of {nodes} nodes", "Kubernetes sets it for an Indexed Job."
        )
    if not config.get("command") and not rendezvous.rpartition(":")[2].isdigit():
        raise configuration_failure("topology.rendezvous", f"{rendezvous!r} is not host:port of the first node")
    return Launch(nodes, processes, int(node), rendezvous)


def training_command(
    config: Mapping[str, Any], run_file: Path, launch: Launch, stop_seconds: float = 30.0
) -> Sequence[str]:
    """The process to watch. Within `stop_seconds` of SIGTERM, torchrun leaves its processes alone."""
    if config.get("command"):
        return [*map(str, config["command"]), str(run_file)]
    if not launch.is_several:
        return [sys.executable, "-m", TRAINING_MODULE, str(run_file)]
    options: dict[str, object] = {
        "--nproc-per-node": launch.processes_per_node,
        "--max-restarts": 0,
        "--shutdown-timeout": max(1, int(stop_seconds)),
    }
    if launch.nodes > 1:
        host, _, port = launch.rendezvous.rpartition(":")
        options |= {"--nnodes": launch.nodes, "--node-rank": launch.node, "--master-addr": host, "--master-port": port}
    else:
        options |= {"--local-addr": "127.0.0.1"}
    alone = ["--standalone"] if launch.nodes == 1 else []
    given = [f"{name}={value}" for name, value in options.items()]
    return [sys.executable, "-m", "torch.distributed.run", *alone, *given, "-m", TRAINING_MODULE, str(run_file)]


def launch_environment(launch: Launch, results: Path) -> dict[str, str]:
    """What several processes need to know besides."""
    if not launch.is_several:
        return {}
    # Gloo finds its address by the machine's name, which need not be known to the machine itself.
    address = {"GLOO_SOCKET_IFNAME": "lo"} if launch.nodes == 1 else {}
    return {**address, ENV_RANK_RESULTS: str(results)}
