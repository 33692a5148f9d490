"""Two nodes, each with a supervisor of its own over one workspace, meet as pods of an Indexed Job would."""

import json
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.outcomes import CLOSE, largest_difference
from tests.support.runs import RunFiles, run_config, start_run, write_run
from tests.support.scarcity import scarce_memory

pytestmark = pytest.mark.slow

SETTINGS = {"batchSize": 2, "gradientAccumulationSteps": 2}


def test_two_nodes_give_the_weights_of_one(workspace: Path, without_dropout: RunFiles) -> None:
    files = write_run(workspace, two_nodes(SETTINGS))

    assert exit_codes(start_nodes(files)) == [0, 0], files.log()
    assert files.losses() == pytest.approx(without_dropout.losses(), abs=CLOSE)
    assert largest_difference(files, without_dropout) < CLOSE
    assert [event["kind"] for event in files.events()].count("end") == 1
    assert message_of(files, node=0)["output"] == files.result()["output"]
    assert message_of(files, node=1)["exitCode"] == 0
    assert "step 8/8" not in (files.directory / "log-node-1.txt").read_text()


def test_stop_of_one_node_is_a_checkpoint_of_both(workspace: Path) -> None:
    files = write_run(workspace, two_nodes({**SETTINGS, "maxSteps": 100_000}))
    nodes = start_nodes(files)
    wait_for_step(files, nodes, 2)
    nodes[1].send_signal(signal.SIGTERM)

    assert exit_codes(nodes) == [85, 85], files.log()
    assert message_of(files, node=0)["step"] == message_of(files, node=1)["step"] >= 2


def test_killed_process_of_one_node_ends_both_with_75(workspace: Path) -> None:
    files = write_run(workspace, two_nodes({**SETTINGS, "maxSteps": 100_000}))
    nodes = start_nodes(files)
    wait_for_step(files, nodes, 2)
    nodes[1].kill()

    assert exit_codes(nodes) == [75, -signal.SIGKILL], files.log()
    assert "connection to another process" in message_of(files, node=0)["failure"]["message"]


def test_memory_of_one_node_restarts_both(workspace: Path, without_dropout: RunFiles) -> None:
    files = write_run(workspace, two_nodes(SETTINGS))

    nodes = start_nodes(files, **scarce_memory(rows=1, SCARCE_MEMORY_RANK="1"))
    assert exit_codes(nodes) == [0, 0], files.log()
    assert files.losses() == pytest.approx(without_dropout.losses(), abs=CLOSE)
    assert "batchSize 2 does not fit" in files.result()["warnings"][0]


def two_nodes(settings: dict[str, Any]) -> dict[str, Any]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        topology = {"nodes": 2, "rendezvous": f"127.0.0.1:{probe.getsockname()[1]}"}
    return run_config(adapter={"dropout": 0.0}, hyperparameters=settings, topology=topology)


def start_nodes(files: RunFiles, **changes: str) -> "list[subprocess.Popen[str]]":
    return [
        start_run(
            files,
            JOB_COMPLETION_INDEX=str(node),
            FETTLE_TERMINATION_MESSAGE_PATH=str(message_path(files, node)),
            GLOO_SOCKET_IFNAME="lo",
            **changes,
        )
        for node in range(2)
    ]


def exit_codes(nodes: "list[subprocess.Popen[str]]") -> list[int]:
    try:
        return [node.wait(180) for node in nodes]
    finally:
        for node in nodes:
            node.kill()
            node.wait()


def wait_for_step(files: RunFiles, nodes: "list[subprocess.Popen[str]]", step: int) -> None:
    deadline = time.monotonic() + 180
    while step not in files.losses():
        assert all(node.poll() is None for node in nodes), files.log()
        assert time.monotonic() < deadline, files.log()
        time.sleep(0.05)


def message_path(files: RunFiles, node: int) -> Path:
    return files.message.with_name(f"termination-{node}")


def message_of(files: RunFiles, node: int) -> dict[str, Any]:
    message = json.loads(message_path(files, node).read_text())
    assert isinstance(message, dict)
    return message
