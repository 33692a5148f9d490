"""Starts a real `fettle up` in a scratch home, on the documents' own ports. What is started here is ended here."""

import asyncio
import errno
import json
import os
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from fettle_local.home import Home
from fettle_local.store import LocalClient
from tests.documents.machine import FETTLE, Machine, MachineError
from tests.documents.rows import messages, pairs
from tests.support.engine_stand_in import KEY, EngineStandIn
from tests.support.polling import eventually
from tests.support.tiny_model import write_rows

PORTS = {"ainode": 3000, "cluster": 23478, "milady": 2138, "qlora": 5001, "merlina": 8000}
OLLAMA_PORT = 11434

_START_SECONDS = 60.0
_STOP_SECONDS = 60.0
_GPUS = """#!/bin/sh
[ -e "$0.on" ] || exit 9
case "$1" in
  --query-gpu=uuid) echo GPU-0; echo GPU-1 ;;
  *) for index in 0 1; do echo "$index, NVIDIA GeForce RTX 4090, 24564, 23120, 1444, 5, 42, 45.20, 8.9"; done ;;
esac
"""


def check_ports() -> None:
    """Raises MachineError for a port of the documents that somebody has."""
    for name, port in {**PORTS, "Ollama": OLLAMA_PORT}.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    message = f"port {port}, which the documents use for {name}, is taken: end what listens there"
                    raise MachineError(message) from error
                raise


async def build_model(directory: Path) -> Path:
    """The tiny model, made by a process of its own: this one needs no torch."""
    command = [sys.executable, "-m", "tests.support.tiny_model", str(directory)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    if process.returncode:
        raise MachineError(f"the tiny model could not be made: {output.decode()}")
    return directory


@asynccontextmanager
async def running_machine(
    directory: Path,
    model: Path,
    engine: EngineStandIn,
    models: Collection[str],
    datasets: Mapping[str, str],
) -> AsyncIterator[Machine]:
    """`fettle up` with a new home; `models` all mean the tiny one, and `datasets` are names → those of `rows`."""
    home, scratch, log = Home(directory / "home", directory / "cache"), directory / "scratch", directory / "up.log"
    _fill(home.workspace, scratch, model)
    (scratch / "engine-key").write_text(KEY)
    settings = {
        "FETTLE_HOME": str(home.path),
        "FETTLE_API_MODEL_ALIASES": json.dumps(dict.fromkeys(models, "models/tiny")),
        "FETTLE_API_DATASET_ALIASES": json.dumps(datasets),
        "FETTLE_API_ENGINE_URL": engine.url,
        "FETTLE_API_ENGINE_KEY_FILE": str(scratch / "engine-key"),
        "PATH": f"{scratch / 'bin'}:{os.environ['PATH']}",
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FETTLE_API_")}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(*FETTLE, "up", "--port", "0"), env=inherited | settings, stdout=output, stderr=output
        )
    client: LocalClient | None = None
    try:
        await _wait_until_it_serves(process, log)
        client = LocalClient(home.store)
        yield Machine(home, scratch, client, log)
    finally:
        if client is not None:
            await client.close()
        await _stop(process)


def _fill(workspace: Path, scratch: Path, model: Path) -> None:
    shutil.copytree(model, workspace / "models/tiny")
    write_rows(workspace / "datasets/messages/train.jsonl", messages())
    write_rows(workspace / "datasets/pairs/train.jsonl", pairs())
    write_rows(scratch / "my_dataset.jsonl", pairs())
    (scratch / "bin").mkdir()
    tool = scratch / "bin/nvidia-smi"
    tool.write_text(_GPUS)
    tool.chmod(0o755)


async def _wait_until_it_serves(process: asyncio.subprocess.Process, log: Path) -> None:
    async def serves() -> bool:
        text = await asyncio.to_thread(log.read_text)
        if process.returncode is not None:
            raise MachineError(f"fettle up ended with {process.returncode}:\n{text}")
        return all(f"{name}: http://127.0.0.1:{port}\n" in text for name, port in PORTS.items())

    await eventually(serves, f"fettle up serves; its log: {log}", _START_SECONDS)


async def _stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.send_signal(signal.SIGTERM)
    try:
        await asyncio.wait_for(process.wait(), _STOP_SECONDS)
    except TimeoutError:
        process.kill()
        await process.wait()
