"""A server as a process of its own, whose memory and CPU time are read from the kernel; and programs that are run."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[2]
START_SECONDS = 60.0
_POLL_SECONDS = 0.01
_LOG_CHARACTERS = 3000


class ServerProcess:
    """A process that listens on a port of the loopback interface."""

    def __init__(self, process: "subprocess.Popen[bytes]", port: int, log: Path, started_at: float) -> None:
        self._process, self._log = process, log
        self.url = f"http://127.0.0.1:{port}"
        self.started_at = started_at
        """By the monotonic clock."""

    @property
    def resident_bytes(self) -> int:
        """VmRSS."""
        return self._memory("VmRSS")

    @property
    def peak_bytes(self) -> int:
        """VmHWM: the most since the start, or since `forget_peak`."""
        return self._memory("VmHWM")

    def forget_peak(self) -> None:
        """The peak is what is resident now."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")

    @property
    def cpu_seconds(self) -> float:
        """Time on a CPU since the start."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    async def first_answer(self, path: str) -> float:
        """Seconds from the start of the process to its first success."""
        deadline = self.started_at + START_SECONDS
        async with aiohttp.ClientSession() as session:
            while not await self._answers(session, path):
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{self.url}{path} does not answer\n{self._log.read_text()[-_LOG_CHARACTERS:]}")
                await asyncio.sleep(_POLL_SECONDS)
        return time.monotonic() - self.started_at

    async def _answers(self, session: aiohttp.ClientSession, path: str) -> bool:
        try:
            async with session.get(self.url + path) as answer:
                await answer.read()
                return answer.status == 200
        except aiohttp.ClientError:
            return False

    def _memory(self, field: str) -> int:
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


@contextmanager
def server_process(
    module: str, arguments: list[str], environment: Mapping[str, str], port: int, log: Path
) -> Iterator[ServerProcess]:
    """`python -m module` until the end of the block; then it is asked to end, and made to if it does not."""
    with log.open("wb") as output:
        started_at = time.monotonic()
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments], cwd=ROOT, env={**environment}, stdout=output, stderr=output
        )
    try:
        yield ServerProcess(process, port, log, started_at)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def run_program(module: str, plan: Mapping[str, Any], within_seconds: float) -> dict[str, Any]:
    """`python -m module` with a plan on its standard input; what it found is on its output."""
    process = await start_program(module)
    try:
        async with asyncio.timeout(within_seconds):
            output, _ = await process.communicate(json.dumps(plan).encode())
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        raise SystemExit(f"{module} ended with {process.returncode}")
    found: dict[str, Any] = json.loads(output)
    return found


async def start_program(module: str) -> asyncio.subprocess.Process:
    """The same, for whoever wants to talk with it."""
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
