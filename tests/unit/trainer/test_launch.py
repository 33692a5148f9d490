"""How many processes are started, and with which words."""

import sys
from pathlib import Path
from typing import Any

import pytest

from fettle_trainer.failures import TrainerFailure
from fettle_trainer.launch import Launch, launch_environment, plan_launch, training_command

RUN_FILE = Path("/etc/fettle/run.json")
TWO_NODES = {"nodes": 2, "processesPerNode": 4, "rendezvous": "demo-a1-0.tj-1a2b3c4d-a1.default:29500"}


def test_one_process_is_started_by_itself() -> None:
    launch = plan_launch({}, {})

    assert launch == Launch()
    assert training_command({}, RUN_FILE, launch) == [sys.executable, "-m", "fettle_trainer.run", str(RUN_FILE)]
    assert launch_environment(launch, Path("ranks")) == {}


def test_several_on_one_node_meet_on_the_loopback() -> None:
    launch = plan_launch({"topology": {"processesPerNode": 2}}, {})
    command = training_command({}, RUN_FILE, launch, stop_seconds=115)

    assert command[:3] == [sys.executable, "-m", "torch.distributed.run"]
    assert {"--standalone", "--local-addr=127.0.0.1", "--nproc-per-node=2"} <= set(command)
    assert {"--max-restarts=0", "--shutdown-timeout=115"} <= set(command)
    assert command[-3:] == ["-m", "fettle_trainer.run", str(RUN_FILE)]
    assert launch_environment(launch, Path("ranks")) == {"GLOO_SOCKET_IFNAME": "lo", "FETTLE_RANK_RESULTS": "ranks"}


def test_several_nodes_meet_at_the_first_one() -> None:
    launch = plan_launch({"topology": TWO_NODES}, {"JOB_COMPLETION_INDEX": "1"})
    command = training_command({}, RUN_FILE, launch)

    assert {"--nnodes=2", "--node-rank=1", "--nproc-per-node=4"} <= set(command)
    assert {"--master-addr=demo-a1-0.tj-1a2b3c4d-a1.default", "--master-port=29500"} <= set(command)
    assert "--standalone" not in command
    assert launch_environment(launch, Path("ranks")) == {"FETTLE_RANK_RESULTS": "ranks"}
    assert list(launch.own_ranks) == [4, 5, 6, 7]
    assert not launch.is_first_node


def test_a_command_of_the_image_is_left_to_itself() -> None:
    config = {"command": ["train"], "topology": {**TWO_NODES, "rendezvous": None}}
    launch = plan_launch(config, {"JOB_COMPLETION_INDEX": "0"})

    assert training_command(config, RUN_FILE, launch) == ["train", str(RUN_FILE)]


@pytest.mark.parametrize(
    ("topology", "index", "field"),
    [
        (TWO_NODES, None, "JOB_COMPLETION_INDEX"),
        (TWO_NODES, "2", "JOB_COMPLETION_INDEX"),
        (TWO_NODES, "-1", "JOB_COMPLETION_INDEX"),
        ({**TWO_NODES, "rendezvous": None}, "0", "topology.rendezvous"),
        ({**TWO_NODES, "rendezvous": "host"}, "0", "topology.rendezvous"),
    ],
)
def test_node_that_cannot_know_its_place_is_64(topology: dict[str, Any], index: str | None, field: str) -> None:
    with pytest.raises(TrainerFailure, match=field) as raised:
        plan_launch({"topology": topology}, {} if index is None else {"JOB_COMPLETION_INDEX": index})

    assert raised.value.exit_code == 64
